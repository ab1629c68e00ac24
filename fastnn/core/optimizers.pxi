# Optimizer updates, in place.

cdef int _state(list arrays, str func, tuple names) except -1:
    """In-place gate: param and its state arrays as the kernel wants them, and grad read-only. No two may share memory; only
    velocity may be None."""
    cdef ndarray param = _in_place(arrays[0], func, "param"), a
    cdef int dtype = _dtype(param, func, "param")
    for i, name in enumerate(names):
        if arrays[i] is None and name == "velocity":
            continue
        a = _array(arrays[i], func, name) if name == "grad" else _in_place(arrays[i], func, name)
        _require_same_shape(func, name, a, "param", param)
        if _dtype(a, func, name) != dtype and name != "grad":
            raise TypeError(f"{func}: {name} has dtype {a.dtype} but param has dtype {param.dtype}")
        arrays[i] = a
    for i, name in enumerate(names):
        for k in range(i if arrays[i] is not None else 0):
            _refuse_overlap(arrays[k], names[k], arrays[i], name, func)
    for i, given in enumerate(arrays):
        arrays[i] = None if given is None else _ready(given, dtype)
    return dtype


cdef object _write_back(tuple given, list worked):
    for to, done in zip(given, worked):
        if to is not None and to is not done:
            np.copyto(to, done)


def sgd_update(object param, object grad, object velocity, double lr, double momentum, bint nesterov, double weight_decay):
    cdef str func = "sgd_update"
    if velocity is None and momentum != 0:
        raise ValueError(f"{func}: momentum is {momentum} but velocity is None; an array shaped like param was expected")
    if nesterov and momentum == 0:
        raise ValueError(f"{func}: nesterov needs a momentum other than 0")
    cdef list arrays = [param, grad, velocity if momentum != 0 else None]
    cdef int dtype = _state(arrays, func, ("param", "grad", "velocity"))
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef void *p = _data(arrays[0])
    cdef const void *g = _data(arrays[1])
    cdef void *v = _data(arrays[2])
    cdef int64_t n = size(arrays[0])
    with nogil:
        kernels.sgd(p, v, g, n, lr, momentum, nesterov, weight_decay)
    _write_back((param, None, velocity), arrays[:2] + [arrays[2] if momentum != 0 else velocity])


def adam_update(object param, object grad, object exp_avg, object exp_avg_sq, object step, double lr, double beta1,
                double beta2, double eps, double weight_decay):
    cdef str func = "adam_update"
    cdef int64_t t = _integer(step, func, "step", 1, 2 ** 62)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"{func}: betas are {(beta1, beta2)} but values in [0, 1) were expected")
    cdef list arrays = [param, grad, exp_avg, exp_avg_sq]
    cdef int dtype = _state(arrays, func, ("param", "grad", "exp_avg", "exp_avg_sq"))
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef void *p = _data(arrays[0])
    cdef const void *g = _data(arrays[1])
    cdef void *m = _data(arrays[2])
    cdef void *v = _data(arrays[3])
    cdef int64_t n = size(arrays[0])
    with nogil:
        kernels.adam(p, m, v, g, n, t, lr, beta1, beta2, eps, weight_decay)
    _write_back((param, None, exp_avg, exp_avg_sq), arrays)
