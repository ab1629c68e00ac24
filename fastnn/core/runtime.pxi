# The version, the ISA in use and the bound on threads.

cdef extern from *:
    const char *FASTNN_VERSION  # given by setup.py, from pyproject.toml

__version__ = FASTNN_VERSION.decode()


def available_isas():
    return [fnn_isa_name(i).decode() for i in range(fnn_isa_count()) if fnn_isa_supported(i)]


def isa():
    return fnn_isa_name(fnn_isa_active()).decode()


def _use_isa(name):
    """Switch the kernels of this process; for tests."""
    if not isinstance(name, str) or fnn_isa_use(name.encode()) != 0:
        raise ValueError(f"_use_isa: {name!r} is unknown or unsupported by this CPU; available: {', '.join(available_isas())}")


def _obey_environment():
    """FASTNN_ISA, read once at import."""
    wanted = os.environ.get("FASTNN_ISA")
    if wanted and fnn_isa_use(wanted.encode()) != 0:
        raise ImportError(f"FASTNN_ISA is {wanted!r}, unknown or unsupported by this CPU; choices: {', '.join(available_isas())}")


_obey_environment()

MAX_THREADS = FNN_MAX_THREADS


def check_num_threads(func, n):
    return _integer(n, func, "n", 1, FNN_MAX_THREADS)


def set_num_threads(n):
    """Bound the threads of every call of this process.

    Parameters
    ----------
    n : int
        From 1 to 1024.
    """
    fnn_set_num_threads(check_num_threads("set_num_threads", n))


def get_num_threads():
    """Return the bound on the threads of a call made here."""
    return fnn_get_num_threads()


def set_thread_bound(int n):
    """Bound the calling thread; 0 lifts the bound. Returns the previous one."""
    return fnn_set_thread_bound(n)


def _force_threads(bint on):
    """Without the cost model: every call on as many threads as the bound says; for tests. Returns the setting before."""
    return bool(fnn_force_threads(on))


def _threads_of_last_job():
    """How many threads worked on the last parallel call of this thread; for tests."""
    return fnn_threads_of_last_job()


def _times_memory_has_grown():
    """How often scratch and arenas of threads have grown; for tests."""
    return fnn_times_grown()


def _parts_of_last_job():
    """Into how many parts the last call of this thread was cut; for tests."""
    return fnn_parts_of_last_job()
