"""How many threads: the environment, the machine, and the user's bound on them."""

import os
from threading import local

from fastnn import _fastnn_core
from fastnn._fastnn_core import get_num_threads, set_num_threads

__all__ = ["get_num_threads", "set_num_threads", "threads"]


class threads(local):
    """``with threads(n):`` bounds the threads of calls made by this Python thread, within the process-wide bound.

    One object may be used again, inside itself, and by several Python threads at once.

    Parameters
    ----------
    n : int
        At least 1.
    """

    # The attributes of a threading.local are each thread's own: a thread that meets the object runs __init__ first.
    def __init__(self, n):
        self._n = _fastnn_core.check_num_threads("threads", n)
        self._previous = []  # the bound before each `with` that this thread is in

    def __enter__(self):
        self._previous.append(_fastnn_core.set_thread_bound(self._n))
        return self

    def __exit__(self, *exception):
        _fastnn_core.set_thread_bound(self._previous.pop())


def _read(path):
    """Return the text of a file, "" where it cannot be read. Names in it are bytes of any encoding."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except (OSError, ValueError):  # ValueError: a path with a zero byte
        return ""


def _natural(text):
    """Return the number that a text of decimal digits is, else 0; str.isdigit alone is true for "²"."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _quota_of(folder):
    """Processors that one control group may use: a number, or infinity. Version 2 has cpu.max, version 1 two files."""
    limit, _, period = _read(f"{folder}/cpu.max").partition(" ")  # "max 100000" without a limit
    if not limit:
        limit, period = _read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")  # -1 without a limit
    limit, period = _natural(limit), _natural(period)
    return limit / period if limit and period else float("inf")


def cgroup_quota(root="/"):
    """Return the processor quota of this process.

    Every group from the process's own up to the root can limit it. In a container the own group's path may name a folder of the
    host; the groups above it are then found at the mount point.

    Parameters
    ----------
    root : path
        Where /proc and /sys are.

    Returns
    -------
    float
        In processors; infinity without a quota.
    """
    mounted, quota = f"{root}/sys/fs/cgroup", float("inf")
    for line in _read(f"{root}/proc/self/cgroup").split("\n"):
        _, controllers, own = line.split(":", 2) if line.count(":") > 1 else ("", "?", "")
        if controllers and "cpu" not in controllers.split(","):  # "4:cpu,cpuacct:/group"; in version 2 "0::/group"
            continue
        names = own.strip("/").split("/")
        groups = ["/".join(names[:depth]) for depth in range(len(names) + 1)]
        for mount in (f"{mounted}/{controllers}", f"{mounted}/cpu") if controllers else (mounted,):
            quota = min(quota, *(_quota_of(f"{mount}/{group}") for group in groups))
    return quota


def physical_cores(cpus, root="/"):
    """Return how many cores the given processors are: those that share a core count once.

    Parameters
    ----------
    cpus : iterable of int
    root : path
        Where /sys is.

    Returns
    -------
    int
    """
    siblings = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return len({_read(f"{root}/{siblings.format(cpu)}") or cpu for cpu in cpus})


def default_num_threads(environment=os.environ, root="/"):
    """Return FASTNN_NUM_THREADS, else OMP_NUM_THREADS, else min(affinity, cgroup quota, physical cores)."""
    for variable in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = environment.get(variable, "").split(",")[0].strip()  # OMP_NUM_THREADS may give one number per level
        if 0 < _natural(value) <= _fastnn_core.MAX_THREADS:
            return _natural(value)
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return int(max(1, min(physical_cores(cpus, root), cgroup_quota(root), _fastnn_core.MAX_THREADS)))


set_num_threads(default_num_threads())
