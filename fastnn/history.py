"""What training leaves behind: numbers per epoch, and a line on the terminal while it runs."""

import os
import sys
import time

import numpy as np


class History(dict):
    """From a name ("loss", "val_loss", "val_accuracy", ...) to a list with one number per epoch.

    Attributes
    ----------
    seed : int
        The trainer's, from which the same training follows again.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def __repr__(self):
        epochs = max(map(len, self.values()), default=0)
        last = "".join(
            f", {name}={values[-1]:.4g}" for name, values in self.items() if values and np.ndim(values[-1]) == 0
        )
        return f"<History of {epochs} epoch{'' if epochs == 1 else 's'}, seed={self.seed}{last}>"

    def record(self, values):
        """Append the values of an epoch."""
        for name, value in values.items():
            self.setdefault(name, []).append(value)


def _columns():
    """Width of the terminal that standard error writes to; the environment's COLUMNS or 80 where it is none."""
    try:
        return int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (AttributeError, ValueError, OSError):
        import shutil  # here: it would take a tenth of the package's import

        return shutil.get_terminal_size().columns


def _clock(seconds):
    """Return seconds as "m:ss" or "h:mm:ss"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


_BAR = 8  # characters of a bar


class Progress:
    """The progress of ``fit`` on standard error: a line that is written over, with a bar, or a line per epoch.

    A context manager: however the block ends, an open line ends with a newline. Where a line is too narrow for everything, whole
    fields are left out, the least important first. With validation "best" is the epoch of the lowest loss on it so far.

    Parameters
    ----------
    verbose : "auto", bool or int
        False or 0 for nothing; True or 1 for one line; 2 for a line per epoch; "auto" for one line where standard error is a terminal.
    epochs, rows : int
        How many epochs of how many rows will come.
    """

    _INTERVAL = 0.1  # seconds between two lines within an epoch

    def __init__(self, verbose, epochs, rows):
        if not (verbose == "auto" or (isinstance(verbose, int) and 0 <= verbose <= 2)):
            raise ValueError(f"fit: verbose is {verbose!r} but 'auto', False, True or 2 was expected")
        stream = sys.stderr
        if stream is None or getattr(stream, "closed", False):  # windowed applications have none
            verbose = False
        elif verbose == "auto":
            verbose = bool(getattr(stream, "isatty", bool)())
        self.mode, self.epochs, self.rows = int(verbose), epochs, rows
        self._epoch = 0  # epochs done
        self._best, self._lowest = None, np.inf  # epoch of the lowest loss on the validation data, and that loss
        self._start = self._epoch_start = self._shown_at = time.perf_counter()
        self._rows_per_second = 0.0
        self._open, self._length = False, 0  # whether a line waits for its newline, and how long it is

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._open:
            print(file=sys.stderr, flush=True)

    def begin_epoch(self):
        """Start the clock of an epoch, which runs until its last minibatch."""
        self._epoch_start = time.perf_counter()

    def minibatch(self, rows, values):
        """Note that ``rows`` of the epoch's rows are done; ``values``, a function, gives what is known of the epoch."""
        if self.mode == 0:
            return
        now = time.perf_counter()
        self._rows_per_second = rows / max(now - self._epoch_start, 1e-9)
        if self.mode == 1 and rows < self.rows and now - self._shown_at >= self._INTERVAL:
            self._show(values(), self._epoch + 1, self._epoch + rows / self.rows)

    def end_epoch(self, values):
        """Show the epoch's values, a dict."""
        self._epoch += 1
        if values.get("val_loss", np.inf) < self._lowest:
            self._best, self._lowest = self._epoch, values["val_loss"]
        if self.mode:
            self._show(values, self._epoch, self._epoch)

    def _show(self, values, epoch, epochs_done):
        self._shown_at = time.perf_counter()
        seconds_left = (self._shown_at - self._start) * (self.epochs / epochs_done - 1)
        fields = {"epoch": f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"}
        if self.mode == 1:
            fields["bar"] = f"{'#' * int(_BAR * epochs_done / self.epochs):-<{_BAR}}"
        fields |= {name: f"{name} {value:.4f}" for name, value in values.items() if np.ndim(value) == 0}
        if self._best is not None:
            fields["best"] = f"best {self._best}"
        fields |= {"rows": f"{self._rows_per_second:,.0f} rows/s", "left": f"{_clock(seconds_left)} left"}
        width = _columns() - 1
        text = _fitting(fields, width)
        if self.mode == 2:
            print(text, file=sys.stderr, flush=True)
            return
        self._open = True
        print(f"\r{text:<{min(self._length, width)}}", end="", file=sys.stderr, flush=True)
        self._length = len(text)


def _fitting(fields, width):
    """Return the fields in their order, two spaces between; what exceeds width is left out, the least important first."""
    measured = [name for name in fields if name.endswith("accuracy")] or ["val_loss"]
    first = [name for name in ("epoch", "loss", *measured, "left", "best", "bar", "rows") if name in fields]
    kept, used = [], -2
    for name in [*first, *(name for name in fields if name not in first)]:
        if used + 2 + len(fields[name]) <= width:
            kept.append(name)
            used += 2 + len(fields[name])
    return "  ".join(text for name, text in fields.items() if name in kept)
