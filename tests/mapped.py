"""Train on a file larger than the memory allowed: ``python tests/mapped.py MEGABYTES COLUMNS``, or ``make mapped``.

The limit is on what the process allocates. Pages of a mapped file are the system's cache: it takes them back when it needs them.
"""

import resource
import sys
import tempfile
import time

import numpy as np

import fastnn as fnn

MEGABYTE = 1 << 20


def allocated():
    """Return how many megabytes the process has allocated, its threads' stacks included."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData:")) / 1024


def mapped(path, dtype, *shape):
    """Return a new file of zeros, which take no room on the disk, as an array."""
    with open(path, "wb") as file:
        file.truncate(np.dtype(dtype).itemsize * int(np.prod(shape)))
    return np.memmap(path, dtype, "r+", shape=shape)


def main(megabytes, columns, allowed=100):
    """Train on bytes, and let wrong labels and numbers at the end of other files be found."""
    rows = megabytes * MEGABYTE // columns
    trainer = fnn.Trainer(fnn.MLP([columns, 4, 10], seed=0), "cross_entropy", seed=0)
    options = {"batch_size": 256, "verbose": False, "validation_split": 0.1}
    with tempfile.TemporaryDirectory() as folder:
        x, y = mapped(f"{folder}/x", np.uint8, rows, columns), mapped(f"{folder}/y", np.int64, rows)
        weight, numbers = (
            mapped(f"{folder}/weight", np.float32, rows),
            mapped(f"{folder}/numbers", np.float32, rows // 4, columns),
        )
        y[::2], weight[:] = 3, 0.5
        trainer.fit(x[:1000], y[:1000], **options)  # what is allocated once
        before = allocated()
        limit = int((before + allowed) * MEGABYTE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        start = time.perf_counter()
        trainer.fit(x, y, sample_weight=weight, class_weight="balanced", **options)
        print(
            f"{megabytes} MB in {time.perf_counter() - start:.1f} s; {allocated() - before:.1f} MB more are allocated than before"
        )
        steps = trainer.steps_done
        y[-1] = 10
        refused(IndexError, f"fit: y[{rows - 1}] is 10 but", lambda: trainer.fit(x, y, **options))
        numbers[-1, -1] = np.nan
        place = f"row {len(numbers) - 1}, column {columns - 1}"
        refused(ValueError, f"fit: x is nan at {place};", lambda: trainer.fit(numbers, y[: len(numbers)], **options))
        refused(ValueError, f"fit: y is nan at {place};", lambda: trainer.fit(x[: len(numbers)], numbers, **options))
        assert trainer.steps_done == steps, "a step was made before all was checked"
        before = [allocated() for _ in range(2) if trainer.fit(x[:300], y[:300], epochs=5, **options)][-1]
        trainer.fit(x[:300], y[:300], epochs=1000, **options)
        print(f"after 1000 epochs {allocated() - before:.2f} MB more are allocated than after 10")
        assert allocated() - before < 1.5, "more than one arena of Python's, of 1 MB"


def refused(kind, message, call):
    """Require that a call is refused with a message that begins so."""
    found = None
    try:
        call()
    except kind as error:
        found = str(error)
    assert found is not None, f"not refused: {message}"
    assert found.startswith(message), found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
