"""Train on a large table of float64 with little more memory: ``python tests/large_table.py ROWS COLUMNS``, or ``make large``.

Each number may take 5 bytes more: 4 are the float32 table that is trained on. The recipe is "plain"; on 100 columns a step of "tabm" works on
40 MB more.
"""

import resource
import sys
import time

import numpy as np
from mapped import MEGABYTE, allocated

import fastnn as fnn


def table(rows, columns):
    """Return random columns and a target that follows from two of them."""
    x = np.random.default_rng(0).random((rows, columns))
    return x, 3 * x[:, 0] + x[:, 1] ** 2


def main(rows, columns):
    """Train with a limit on what the process allocates."""
    fnn.train_table(*table(5000, columns), preset="plain", epochs=1, seed=0, verbose=False)  # what is allocated once
    x, y = table(rows, columns)
    before = allocated()
    limit = int(before * MEGABYTE + 5 * x.size)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start = time.perf_counter()
    model = fnn.train_table(x, y, preset="plain", epochs=1, seed=0, verbose=False)
    print(
        f"{x.nbytes / MEGABYTE:.0f} MB, of which training may add {5 * x.size / MEGABYTE:.0f}, in {time.perf_counter() - start:.0f} s"
    )
    assert model.held_out["r2"] > 0.9


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
