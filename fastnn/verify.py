"""The certificate of bits: hashes of every kernel over fixed inputs, compared with those that ship with the package.

Design
A. A check is a name and a function that returns arrays; its hash covers every bit of them, where each NaN counts as one value. The
   tables give the activations, losses and optimizers: a new row is a new check.
B. Inputs are words of the package's own Philox, taken as bits or as integers times a power of two: exact, and the same everywhere.
   A check draws them anew, so that others cannot change its hash.
C. The ISAs with multiply-add of one rounding have one set of hashes, ``bits.json``. ``portable`` rounds twice: it is compared with the
   best of them, number by number.
"""

import hashlib
import inspect
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn.random import Philox, permutation

PUBLISHED = Path(__file__).with_name("bits.json")
DTYPES = (np.float32, np.float64)
OTHER_BITS = "portable"  # the ISA outside the promise

# What the roundings of `portable` may add up to, in units of the dtype's epsilon, of a number or of 1 where that is larger.
ELEMENTS, SUMS = 64, 2**14


class Check(NamedTuple):
    """``run()`` returns the arrays that the hash of ``name`` covers; ``slack`` is what ``portable`` may be off."""

    name: str
    run: callable
    slack: int


# ------------------------------------------------------------------------------------------------------------------ inputs


def _numbers(dtype, *shape, stream=0):
    """Return numbers of all the dtype's digits in [-4, 4), spread evenly."""
    digits = np.finfo(dtype).nmant + 1
    integers = (Philox(0, stream, 0).words(int(np.prod(shape))) >> np.uint64(64 - digits)).astype(np.int64)
    return ((integers - 2 ** (digits - 1)).astype(dtype) * dtype(8 / 2**digits)).reshape(shape)


def _positive(dtype, *shape, stream=0):
    """Return numbers in (0, 1)."""
    return _numbers(dtype, *shape, stream=stream) / dtype(8) * dtype(0.75) + dtype(0.5)


def _labels(n, classes, stream=0):
    return (Philox(0, stream, 0).words(n) % np.uint64(classes)).astype(np.int64)


def _everything(dtype, stream=0):
    """Return numbers near 0, random bits, NaN and infinity among them, and what is special; a length that no vector divides."""
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    info = np.finfo(dtype)
    special = [0, info.smallest_subnormal, info.smallest_normal, info.eps, 1, 20, 88, 709, info.max, np.inf, np.nan]
    special = np.array(special, dtype)
    bits = (Philox(0, stream, 1).words(4001) >> np.uint64(64 - 8 * unsigned.itemsize)).astype(unsigned).view(dtype)
    return np.concatenate([_numbers(dtype, 4001, stream=stream), bits, special, -special])


def _other(value):
    """Return another value that a parameter takes: it keeps the order of values, their sign from 0 on, and [0, 1)."""
    if value is None:
        return 0.25
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):  # 1 or 2
        return 3 - value
    return tuple(_other(v) for v in value) if isinstance(value, tuple) else value / 2 + 0.125


def _choices(params):
    """Yield the default parameters and, where there are any, others."""
    yield {}
    if params:
        yield {name: _other(value) for name, value in params.items()}


# ------------------------------------------------------------------------------------------------------------------ checks


def _activation(info, dtype):
    x = _everything(dtype)
    return [getattr(F, info.name)(x, **params) for params in _choices(info.params)]


def _activation_backward(info, dtype):
    backward, grad, saved = getattr(F, f"{info.name}_backward"), _numbers(dtype, 8024, stream=1), _everything(dtype)
    results = []
    for params in _choices(info.params):
        results.append(backward(grad, x=saved, **params))
        if core.backward_reads(info.name, params) == "y":
            results.append(backward(grad, y=saved, **params))
    return results


def _prelu(dtype):
    x = _numbers(dtype, 57, 37)
    return [F.prelu(x, _numbers(dtype, n, stream=1)) for n in (37, 1)]


def _prelu_backward(dtype):
    grad, x = _numbers(dtype, 57, 37, stream=2), _numbers(dtype, 57, 37)
    return [a for n in (37, 1) for a in F.prelu_backward(grad, x, _numbers(dtype, n, stream=1))]


def _maxout(dtype):
    return F.maxout(_everything(dtype)[:8001].reshape(-1, 3), return_index=True)


def _maxout_backward(dtype):
    return [F.maxout_backward(_numbers(dtype, 57, 37), _labels(57 * 37, 3, 1).reshape(57, 37), 3)]


CLASSES = (1, 2, 7, 16, 17, 100, 1000, 5000)


def _softmax(function, dtype):
    results = [function(_numbers(dtype, 19, n)) for n in CLASSES]
    return [*results, function(_numbers(dtype, 19, 100), 0), function(np.float32(64) * _numbers(dtype, 19, 100))]


def _softmax_backward(function, dtype):
    return [function(_numbers(dtype, 19, n), _positive(dtype, 19, n, stream=1)) for n in CLASSES]


FEATURES = (1, 2, 7, 16, 33, 600)


def _norm(function, dtype):
    biased = "bias" in inspect.signature(function).parameters
    results = []
    for n in FEATURES:
        x, affine = _numbers(dtype, 19, n), [_positive(dtype, n, stream=1), _numbers(dtype, n, stream=2)]
        results += [function(x), function(dtype(2**12) + x, *affine[: 1 + biased], eps=2.0**-9)]
    return results


def _norm_backward(function, dtype):
    results = []
    for n in FEATURES:
        grad, x = _numbers(dtype, 19, n, stream=1), _numbers(dtype, 19, n)
        results += [*function(grad, x), *function(grad, dtype(2**12) + x, _positive(dtype, n, stream=2), eps=2.0**-9)]
    return results


def _batch_norm(dtype):
    results = []
    for n in FEATURES:
        x, weight, bias = _numbers(dtype, 19, n), _positive(dtype, n, stream=1), _numbers(dtype, n, stream=2)
        running = [_numbers(dtype, n, stream=3), _positive(dtype, n, stream=4)]
        results += [F.batch_norm(x, *running), F.batch_norm(x, *running, weight, bias, eps=2.0**-9)]
        results += F.batch_norm(dtype(2**12) + x, *running, weight, bias, training=True, return_statistics=True)
        results += running
    return results


def _batch_norm_backward(dtype):
    results = []
    for n in FEATURES:
        grad, x = _numbers(dtype, 19, n, stream=1), dtype(2**12) + _numbers(dtype, 19, n)
        _, *statistics = F.batch_norm(x, training=True, return_statistics=True)
        results += F.batch_norm_backward(grad, x, *statistics)
        results += F.batch_norm_backward(grad, x, *statistics, _positive(dtype, n, stream=2), training=True)
    return results


def _dropout(dtype):
    x = _numbers(dtype, 4001)
    return [F.dropout(x, p, seed=2**63 + 5, step=step) for p, step in ((0.5, 0), (0.1, 2**31), (0.0, 1), (1.0, 1))]


def _loss_arguments(info, dtype, classes):
    """Yield inputs, the other arguments by place and weights of a loss, for each kind of target."""
    inputs = (
        [_positive(dtype, 19, classes)]
        if info.accepts[1]
        else [_numbers(dtype, 19, classes), _positive(dtype, 19, classes)]
    )
    weights, numbers = {"sample_weight": _positive(dtype, 19, stream=2)}, _positive(dtype, 19, classes, stream=1)
    if info.labels:
        weights["weight"] = _positive(dtype, classes, stream=3)
        yield inputs, (_labels(19, classes, 4),), weights
        if not info.probabilities:
            return
    if info.second and not info.pair:
        weights[info.second] = _positive(dtype, classes, stream=5)
    if info.accepts[0] == "-1 or 1":
        numbers = np.where(numbers < 0.5, dtype(-1), dtype(1))
    target = _positive(dtype, 19, stream=1) if info.shared else numbers
    yield inputs, (target, _positive(dtype, 19, classes, stream=6)) if info.pair else (target,), weights


def _loss(info, dtype):
    """The loss alone and with its gradient, by every reduction, with weights and with each kind of target."""
    loss, with_grad = (getattr(F, info.function + suffix) for suffix in ("", "_with_grad"))
    results = []
    for classes in CLASSES[:-1]:
        for inputs, others, given in _loss_arguments(info, dtype, classes):
            needed = {info.second: given[info.second]} if info.columns else {}
            for x in inputs:
                for params in _choices(info.params):
                    params = params | needed
                    results += [*with_grad(x, *others, **params), *with_grad(x, *others, **given | params)]
                    results += with_grad(x, *others, reduction="none", **given | params)
                    results.append(loss(x, *others, reduction="sum", **params))
    return results


# Options of optimizers that exclude others, or were added to a published row: a check of their own, with what they need.
ALONE = {
    "dampening": {"momentum": 0.5},
    "amsgrad": {},
    "eps_hat": {"eps": 0.125},
    "decoupled_weight_decay": {"weight_decay": 0.125},
}


def _options(info):
    """Yield (what is added to the name of a check, its choices of options) for an optimizer."""
    others = {name: _other(value) for name, value in info.params.items() if name not in ALONE}
    if "etas" in others:
        others["etas"] = (0.375, 1.25)
    yield "", [{}, others]
    for name, needed in ALONE.items():
        if name in info.params:
            yield f" {name}", [{name: _other(info.params[name])} | needed]


def _update(info, choices, dtype):
    results = []
    for params in choices:
        options = {"lr": 2.0**-7} | params
        param = _numbers(dtype, 1003)
        slots = {
            name: np.zeros(1003, dtype) for name, needs in info.slots.items() if needs not in ALONE or needs in params
        }
        for step in (1, 2, 3, 4, 1000):
            counted = {"step": step} if info.counts or info.counts_if else {}
            getattr(F, info.function)(param, _numbers(dtype, 1003, stream=step), **slots, **options, **counted)
        results += [param, *slots.values()]
    return results


def _sums_of_squares(dtype):
    return [core.sums_of_squares(_numbers(dtype, 19, n)) for n in CLASSES]


# m, n, k: tails of every width, few rows and columns, one row, k of several chunks, none.
SHAPES = [(1, 1, 1), (1, 70, 33), (1, 100, 1100), (2, 5, 17), (5, 48, 64), (6, 16, 512), (7, 31, 513), (13, 12, 600), (16, 16, 16),
          (17, 19, 1030), (33, 129, 65), (64, 10, 300), (70, 64, 20), (130, 260, 70), (200, 3, 40), (4, 9, 0), (97, 150, 1537)]  # fmt: skip


def _matrices(dtype, rows, columns, stream):
    """Yield a matrix by rows and, with the same numbers, by columns."""
    a = _numbers(dtype, rows, columns, stream=stream)
    yield from (a, np.asfortranarray(a))


def _matmul(dtype):
    results = []
    for m, n, k in SHAPES:
        results += [F.matmul(a, b) for a in _matrices(dtype, m, k, 0) for b in _matrices(dtype, k, n, 1)]
    return results


def _linear(dtype):
    results = []
    for m, n, k in SHAPES:
        x, bias = _numbers(dtype, m, k), _numbers(dtype, n, stream=2)
        weight = _numbers(dtype, n, k, stream=1) / dtype(8)
        for activation in (None, "relu", "tanh", "gelu"):
            results += F.linear(x, weight, bias, activation=activation, return_preactivation=True)
    return results


def _linear_backward(dtype):
    results = []
    for m, n, k in SHAPES:
        grad, x, weight = _numbers(dtype, m, n), _numbers(dtype, m, k, stream=1), _numbers(dtype, n, k, stream=2)
        results += F.linear_backward(grad, x, weight)
        results += F.linear_backward(grad, x, weight, activation="gelu", z=_numbers(dtype, m, n, stream=3))
    return results


def _random():
    return [
        Philox(1).uniform(-3, 5, 1001),
        Philox(2).normal(1, 2, 1001),
        permutation(1001, 3, 4),
        core.random_words(1001, 5, 6, 7, 8),
    ]


def _train(optimizer, activation, dropout):
    from fastnn.layers import MLP
    from fastnn.trainer import Trainer

    x, y = _numbers(np.float32, 250, 20) / np.float32(4), _labels(250, 5, 1)
    model = MLP([20, 70, 33, 5], activation, dropout=dropout, seed=6)
    history = Trainer(model, "cross_entropy", optimizer, seed=7).fit(x, y, epochs=3, batch_size=32, verbose=False)
    return [np.array(history["loss"]), *model.state_dict().values()]


def _training(optimizer, activation, dropout):
    """One training with every number of threads, which must agree: with 1, 2 and 3, each of them at work in every call."""
    results, bound, forced = [], core.get_num_threads(), core._force_threads(True)
    try:
        for threads in (1, 2, 3):
            core.set_num_threads(threads)
            results.append(_train(optimizer, activation, dropout))
    finally:
        core.set_num_threads(bound)
        core._force_threads(forced)
    return [np.array(len({digest(arrays) for arrays in results})), *results[0]]


def checks():
    """Return the list of all checks."""
    from fastnn.optim import SGD, Adam

    found = []

    def add(name, slack, function, *arguments):
        found.append(Check(name, lambda: function(*arguments), slack))

    for dtype in DTYPES:
        suffix = f" {np.dtype(dtype).name}"
        for info in core.activations().values():
            add(info.name + suffix, ELEMENTS, _activation, info, dtype)
            add(f"{info.name}_backward{suffix}", ELEMENTS, _activation_backward, info, dtype)
        for function in (_prelu, _maxout, _maxout_backward, _dropout):
            add(function.__name__[1:] + suffix, ELEMENTS, function, dtype)
        for name in ("softmax", "log_softmax"):
            add(name + suffix, ELEMENTS, _softmax, getattr(F, name), dtype)
            add(f"{name}_backward{suffix}", SUMS, _softmax_backward, getattr(F, f"{name}_backward"), dtype)
        for name in ("layer_norm", "rms_norm"):
            add(name + suffix, SUMS, _norm, getattr(F, name), dtype)
            add(f"{name}_backward{suffix}", SUMS, _norm_backward, getattr(F, f"{name}_backward"), dtype)
        for function in (_batch_norm, _batch_norm_backward):
            add(function.__name__[1:] + suffix, SUMS, function, dtype)
        for loss in core.LOSSES.values():
            add(loss.info.function + suffix, SUMS, _loss, loss.info, dtype)
        for optimizer in core.OPTIMIZERS.values():
            for option, choices in _options(optimizer.info):
                add(optimizer.info.function + option + suffix, SUMS, _update, optimizer.info, choices, dtype)
        for function in (_prelu_backward, _matmul, _linear, _linear_backward, _sums_of_squares):
            add(function.__name__[1:] + suffix, SUMS, function, dtype)
    add("random", ELEMENTS, _random)
    add("training sgd relu", SUMS, _training, SGD(lr=0.0625, momentum=0.75), "relu", 0.0)
    add("training adam tanh", SUMS, _training, Adam(lr=2.0**-8), "tanh", 0.25)
    add("training adam gelu", SUMS, _training, Adam(lr=2.0**-8, weight_decay=2.0**-7), "gelu", 0.0)
    return found


# ---------------------------------------------------------------------------------------------------------------- comparing


def digest(arrays):
    """Return 16 hexadecimal digits that stand for every bit of the arrays, their dtypes and shapes; each NaN is one value."""
    total = hashlib.sha256()
    for array in arrays:
        a = np.array(array)
        nan = np.isnan(a)
        a = np.where(nan, a.dtype.type(0), a)
        total.update(f"{a.dtype.name} {a.shape}".encode())
        total.update(np.packbits(nan).tobytes())
        total.update(a.astype(a.dtype.newbyteorder("<")).tobytes())
    return total.hexdigest()[:16]


def is_close(got, want, slack):
    """Whether arrays agree to within slack times the epsilon of the coarsest dtype, of a number or of 1 where that is larger."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(got, want, strict=True)]
    epsilon = max((np.finfo(b.dtype).eps for _, b in pairs if b.dtype.kind == "f"), default=0)
    for a, b in pairs:
        with np.errstate(all="ignore"):
            bound = slack * epsilon * np.maximum(1, np.abs(b)) if b.dtype.kind == "f" else 0
            if not ((a == b) | (np.isfinite(b) & (np.abs(a - b) <= bound)) | (np.isnan(a) & np.isnan(b))).all():
                return False
    return True


def on_isa(isa, function):
    """Return function() with the kernels of an ISA."""
    before = core.isa()
    core._use_isa(isa)
    try:
        with np.errstate(all="ignore"):
            return function()
    finally:
        core._use_isa(before)


def published():
    """Return the version of bits and the hashes that ship with the package."""
    content = json.loads(PUBLISHED.read_text())
    return content["bits"], content["hashes"]


def verify(selected=None):
    """Compute the checks on every ISA of this machine and compare.

    Parameters
    ----------
    selected : list of Check, optional
        All if None.

    Returns
    -------
    dict
        ``bits``: the version; ``checks``: how many; ``different``: from ISA to the names whose bits differ, for each ISA of the promise;
        ``unpublished``, ``unchecked``: names of checks without a published hash, and the reverse; ``compared_with``: the ISA that
        ``portable`` was compared with, or None; ``beyond_tolerance``: the names in which it is off by more.
    """
    every = checks() if selected is None else selected
    bits, hashes = published()
    isas = [isa for isa in core.available_isas() if isa != OTHER_BITS]
    names = {check.name for check in every}
    result = {
        "bits": bits,
        "checks": len(every),
        "different": {isa: [] for isa in isas},
        "unpublished": sorted(names - set(hashes)),
        "unchecked": sorted(set(hashes) - names) if selected is None else [],
        "compared_with": isas[0] if isas else None,
        "beyond_tolerance": [],
    }
    for check in every:
        arrays = {isa: on_isa(isa, check.run) for isa in isas}
        for isa in isas:
            if hashes.get(check.name, "") not in ("", digest(arrays[isa])):
                result["different"][isa].append(check.name)
        if isas and not is_close(on_isa(OTHER_BITS, check.run), arrays[isas[0]], check.slack):
            result["beyond_tolerance"].append(check.name)
    return result


def succeeded(result):
    """Whether a result of ``verify`` holds no difference."""
    return not any(
        [*result["different"].values(), *(result[key] for key in ("unpublished", "unchecked", "beyond_tolerance"))]
    )


def describe(result):
    """Return what ``fastnn verify`` prints, as a list of lines."""
    lines = []
    for isa, names in result["different"].items():
        lines += [f"{name} differs on {isa}" for name in names]
    lines += [f"{name} has no published hash" for name in result["unpublished"]]
    lines += [f"{name} is published but no check" for name in result["unchecked"]]
    lines += [
        f"{name} on {OTHER_BITS} is not within tolerance of {result['compared_with']}"
        for name in result["beyond_tolerance"]
    ]
    if not result["different"]:
        return [*lines, f"bits {result['bits']}: no ISA with multiply-add here; {OTHER_BITS} is outside the promise"]
    by_count = {}
    for isa, names in result["different"].items():
        by_count.setdefault(result["checks"] - len(names) - len(result["unpublished"]), []).append(isa)
    for count, isas in by_count.items():
        lines.append(f"bits {result['bits']}: {count} of {result['checks']} equal on {', '.join(isas)}")
    close = result["checks"] - len(result["beyond_tolerance"])
    return [*lines, f"{OTHER_BITS}: {close} of {result['checks']} within tolerance of {result['compared_with']}"]


def write(path=PUBLISHED):
    """Write the hashes of this machine as version ``fastnn.BITS``, of which they are the published ones then.

    New names extend the file.

    Raises
    ------
    ValueError
        Where a name that the file holds has other bits while the version is the same, and where the ISAs differ among themselves.
    """
    from fastnn import BITS

    hashes = {}
    for check in checks():
        found = {isa: digest(on_isa(isa, check.run)) for isa in core.available_isas() if isa != OTHER_BITS}
        if len(set(found.values())) != 1:
            raise ValueError(f"write: {check.name} has no one hash on the ISAs of this machine: {found}")
        hashes[check.name] = next(iter(found.values()))
    if path.exists():
        old = json.loads(path.read_text())
        changed = [name for name in sorted(hashes) if old["hashes"].get(name, hashes[name]) != hashes[name]]
        if changed and old["bits"] == BITS:
            raise ValueError(
                f"write: other bits than those published as version {BITS}: {', '.join(changed)}; raise fastnn.BITS and say so in "
                "CHANGELOG.md if that is meant; if no release has published them, remove the file"
            )
    path.write_text(json.dumps({"bits": BITS, "hashes": hashes}, indent=0, sort_keys=True) + "\n")
