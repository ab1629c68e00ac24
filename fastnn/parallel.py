"""How many threads: the environment, the machine, and the user's bound on them."""

import os
from pathlib import Path

from fastnn import _fastnn_core
from fastnn._fastnn_core import get_num_threads, set_num_threads

__all__ = ["get_num_threads", "set_num_threads", "threads"]


class threads:
    """``with threads(n):`` bounds the threads of calls made by this Python thread, within the process-wide bound.

    Parameters
    ----------
    n : int
        At least 1.
    """

    def __init__(self, n):
        self._n = _fastnn_core.check_num_threads("threads", n)

    def __enter__(self):
        self._previous = _fastnn_core.set_thread_bound(self._n)
        return self

    def __exit__(self, *exception):
        _fastnn_core.set_thread_bound(self._previous)


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def _quota_of(folder):
    """Processors that one control group may use: a number, or infinity. Version 2 has cpu.max, version 1 two files."""
    limit, _, period = _read(folder / "cpu.max").partition(" ")
    if not limit:
        limit, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    try:
        limit, period = int(limit), int(period)
    except ValueError:  # "max", or no such file
        return float("inf")
    return limit / period if limit > 0 and period > 0 else float("inf")


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
    root, quota = Path(root), float("inf")
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers == "":
            mount = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = next(
                (m for m in (root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup/cpu") if m.is_dir()), None
            )
        else:
            continue
        if mount is not None:
            own = Path(own.lstrip("/"))
            quota = min(quota, *(_quota_of(mount / group) for group in (own, *own.parents)))
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
    return len({_read(Path(root) / siblings.format(cpu)) or cpu for cpu in cpus})


def default_num_threads(environment=os.environ, root="/"):
    """Return FASTNN_NUM_THREADS, else OMP_NUM_THREADS, else min(affinity, cgroup quota, physical cores)."""
    for variable in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = environment.get(variable, "").split(",")[0].strip()  # OMP_NUM_THREADS may give one number per level
        if value.isdigit() and 0 < int(value) <= _fastnn_core.MAX_THREADS:
            return int(value)
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return int(max(1, min(physical_cores(cpus, root), cgroup_quota(root), _fastnn_core.MAX_THREADS)))


set_num_threads(default_num_threads())
