"""History and the progress of fit on standard error."""

import copy
import io
import os
import pickle
import pty
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from test_network import layered

import fastnn as fnn
from fastnn import compiled, history

Y = np.arange(40) % 3
X = (np.random.default_rng(0).standard_normal((40, 4)) + 4 * np.eye(3, 4)[Y]).astype(np.float32)


def trainer(**options):
    return fnn.Trainer(fnn.MLP([4, 8, 3], seed=0), "cross_entropy", seed=7, **options)


def lines(text):
    """What a terminal shows of each line, and all that was ever written into one."""
    return [part for line in text.split("\n") for part in line.split("\r")]


def test_a_history_shows_epochs_seed_and_last_values():
    got = trainer().fit(X, Y, epochs=3, validation_data=(X, Y), verbose=False)
    shown = repr(got)
    assert shown.startswith("<History of 3 epochs, seed=7, loss=")
    for name in ("val_loss", "val_accuracy"):
        assert f"{name}={got[name][-1]:.4g}" in shown
    assert repr(fnn.History(1)) == "<History of 0 epochs, seed=1>"
    for same in (copy.deepcopy(got), pickle.loads(pickle.dumps(got))):
        assert same == got
        assert same.seed == 7


def test_the_line_is_written_over_and_ends_with_a_newline(capsys):
    trainer().fit(X, Y, epochs=3, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("\n")
    pattern = r"\repoch 3/3  #{8}  loss \d\.\d{4}  accuracy [01]\.\d{4}  [\d,]+ rows/s  0:00 left *\n$"
    assert re.search(pattern, err)


def test_the_accuracy_is_that_of_the_epochs_minibatches(capsys):
    for loss, y in (("cross_entropy", Y), (fnn.CrossEntropy(ignore_index=1), Y), ("mse", np.eye(3)[Y])):
        run = fnn.Trainer(fnn.MLP([4, 8, 3], seed=0), loss, fnn.SGD(lr=0.0), metrics="accuracy")
        run.fit(X, y, batch_size=7, verbose=True)
        want = run.evaluate(X, y)["accuracy"]
        assert f"accuracy {want:.4f}" in capsys.readouterr().err


SHOWN = {
    "labels": ({}, {}),
    "ignored labels": ({"loss": fnn.CrossEntropy(ignore_index=2)}, {}),
    "weights of classes": ({"loss": fnn.CrossEntropy(weight=[1.0, 2.0, 0.5])}, {}),
    "sample weights": ({}, {"sample_weight": np.arange(40) % 4}),
    "in order": ({"loss": fnn.CrossEntropy(label_smoothing=0.1)}, {"shuffle": False}),
    "probabilities": ({"loss": "categorical_crossentropy", "last": (fnn.Softmax(),)}, {}),
    "ensemble": ({"ensemble": 3}, {"sample_weight": 1 + np.arange(40.0)}),
    "ensemble of probabilities": ({"ensemble": 3, "loss": "categorical_crossentropy", "last": (fnn.Softmax(),)}, {}),
    "columns": ({"loss": "binary_cross_entropy_with_logits"}, {}),
    "a label the network refuses": ({"labels": np.uint64}, {}),
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_accuracy_of_slices_is_that_layer_by_layer(name, capsys):
    options, fit = SHOWN[name]
    loss, last, shown = options.get("loss", "cross_entropy"), options.get("last", ()), []
    y = np.eye(3, dtype=np.float32)[Y] if isinstance(loss, str) and loss != "cross_entropy" else Y
    for kind in (fnn.Trainer, layered):
        layers = [*fnn.MLP([4, 8, 3], seed=0).layers, *last]
        model = fnn.Sequential(fnn.Ensemble(3, *layers, rng=0)) if "ensemble" in options else fnn.Sequential(*layers)
        run = kind(model, loss, "adam", seed=1)
        run.fit(X, y.astype(options.get("labels", y.dtype)), epochs=3, batch_size=7, verbose=2, **fit)
        shown.append((fields(capsys.readouterr().err), run.history["loss"]))
        if kind is fnn.Trainer:
            assert run._owned.prevented is None
    assert len(shown[0][0]) == 3
    assert shown[0] == shown[1]


class RefusesEachThird:
    """A network that refuses the third minibatch of each slice."""

    def __init__(self, network):
        self.network = network

    def __getattr__(self, name):
        return getattr(self.network, name)

    def train(self, x, target, labels, weight, order, starts, counting, *options):
        losses, code = self.network.train(x, target, labels, weight, order, starts[:3], counting[:2], *options)
        return losses, code or len(starts) > 3


def test_the_accuracy_counts_minibatches_that_the_network_refuses(capsys, monkeypatch):
    planned, shown = compiled.Compiled._planned, []
    for kind in (fnn.Trainer, layered):
        monkeypatch.setattr(compiled.Compiled, "_planned", lambda *arguments: RefusesEachThird(planned(*arguments)))
        run = kind(fnn.MLP([4, 8, 3], seed=0), "cross_entropy", "adam", seed=1)
        run.fit(X, Y, epochs=3, batch_size=2, verbose=2)
        shown.append((fields(capsys.readouterr().err), run.history["loss"]))
    assert shown[0] == shown[1]


@pytest.fixture
def shown_at_each_minibatch(monkeypatch):
    """Each minibatch shows what is known of the epoch, however little time has passed."""
    monkeypatch.setattr(history.Progress, "_INTERVAL", -1.0)
    monkeypatch.setattr(compiled, "_SLICE", 0.0)


def fields(err):
    """Return the (loss, accuracy) of each line that was shown, texts."""
    return re.findall(r"loss (\S+)  accuracy (\S+)", err)


def test_what_is_shown_within_an_epoch_is_the_mean_over_its_rows_so_far(capsys, shown_at_each_minibatch):
    model = fnn.Sequential(fnn.Linear(1, 2))
    model.load_state_dict({"0.weight": [[0.0], [1.0]], "0.bias": [0.0, 0.0]})  # class 1 where x > 0
    x, y = np.array([1, 1, 1, -1, 1.0])[:, None], np.array([1, 1, 0, 0, 1])
    run = fnn.Trainer(model, "cross_entropy", fnn.SGD(lr=0.0))
    run.fit(x, y, batch_size=2, shuffle=False, verbose=True)
    each = np.log1p(np.exp(-np.where(y == 1, 1, -1) * x[:, 0]))
    right = np.where(x[:, 0] > 0, 1, 0) == y
    want = [(f"{each[:n].mean():.4f}", f"{right[:n].mean():.4f}") for n in (2, 4, 5)]
    assert fields(capsys.readouterr().err) == want
    run.fit(x[:1], y[:1], shuffle=False, verbose=True)
    assert fields(capsys.readouterr().err) == want[:1]


def test_rows_that_do_not_count_move_nothing_that_is_shown(capsys, shown_at_each_minibatch):
    run = fnn.Trainer(fnn.MLP([4, 8, 3], seed=0), fnn.CrossEntropy(ignore_index=2), fnn.SGD(lr=0.0))
    order = np.argsort(-Y, kind="stable")  # the ignored come first: a minibatch of them alone
    got = run.fit(X[order], Y[order], batch_size=5, shuffle=False, verbose=True)
    shown = fields(capsys.readouterr().err)
    assert shown[0] == shown[1] == ("0.0000", "0.0000"), "nothing is known yet"
    want = run.evaluate(X, Y)
    assert shown[-1] == (f"{want['loss']:.4f}", f"{want['accuracy']:.4f}")
    assert got["loss"] == [pytest.approx(want["loss"], rel=1e-6)]


def test_an_accuracy_that_nobody_sees_is_not_measured(monkeypatch, capsys):
    def measure(*arguments):
        raise AssertionError("measured")

    monkeypatch.setattr(fnn.Trainer, "_measure", measure)
    assert list(trainer().fit(X, Y, verbose=False)) == ["loss"]
    with pytest.raises(AssertionError, match="measured"):
        trainer().fit(X, Y, verbose=True)
    monkeypatch.setattr(fnn.Trainer, "_measure", lambda *arguments: 0.5)
    monkeypatch.setenv("COLUMNS", "200")
    trainer().fit(X, Y, validation_data=(X, Y), verbose=2)
    assert re.search(
        r"^epoch 1/1  loss \d\.\d{4}  val_loss \d\.\d{4}  val_accuracy 0\.5000  best 1  \S+ rows/s ",
        capsys.readouterr().err.split("\n")[-2],
    )


def test_speed_and_time_left_are_those_of_the_clock(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(history.time, "perf_counter", lambda: now[0])

    def shown():
        return capsys.readouterr().err.lstrip("\r").rstrip()

    progress = history.Progress(True, 4, 100)
    progress.begin_epoch()
    now[0] += 0.0625
    progress.minibatch(10, lambda: {"loss": 1.0})
    assert shown() == "", "too soon after the beginning"
    now[0] += 0.0625
    progress.minibatch(25, lambda: {"loss": 2.0})
    assert shown() == "epoch 1/4  --------  loss 2.0000  200 rows/s  0:02 left", (
        "a quarter of an epoch in 1/8 s: 15/8 s for the rest"
    )
    now[0] += 0.125
    progress.minibatch(100, lambda: {"loss": 3.0})
    assert shown() == "", "the end of the epoch shows it"
    now[0] += 9.75  # of validation
    progress.end_epoch({"loss": 4.0})
    assert shown() == "epoch 1/4  ##------  loss 4.0000  400 rows/s  0:30 left"
    now[0] += 5
    progress.begin_epoch()
    now[0] += 5
    progress.minibatch(50, lambda: {"loss": 5.0})
    assert shown() == "epoch 2/4  ###-----  loss 5.0000  10 rows/s  0:33 left"
    progress = history.Progress(2, 2, 100)
    progress.begin_epoch()
    now[0] += 5
    progress.minibatch(50, lambda: {"loss": 6.0})
    assert shown() == "", "a line an epoch"
    now[0] += 5
    progress.minibatch(100, lambda: {"loss": 6.0})
    progress.end_epoch({"loss": 7.0})
    assert shown() == "epoch 1/2  loss 7.0000  10 rows/s  0:10 left"


def test_the_best_epoch_is_that_of_the_lowest_loss_in_validation(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    progress = history.Progress(2, 120, 100)
    for loss in (3.0, 1.0, 2.0, float("nan")):
        progress.begin_epoch()
        progress.end_epoch({"loss": 4.0, "val_loss": loss})
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r"best (\S+)", line).group(1) for line in lines] == ["1", "2", "2", "2"]
    assert [line.split("  loss")[0] for line in lines] == [
        "epoch   1/120",
        "epoch   2/120",
        "epoch   3/120",
        "epoch   4/120",
    ]


def test_bar_validation_metric_best_epoch_and_time_left_fit_in_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for values in ({"loss": 0.5, "val_loss": 0.25, "val_accuracy": 0.75}, {"loss": 0.5, "val_loss": 0.25}):
        with history.Progress(True, 100, 1000) as progress:
            progress.begin_epoch()
            progress.end_epoch(values)
        shown = capsys.readouterr().err
        measure = "val_accuracy 0.7500" if "val_accuracy" in values else "val_loss 0.2500"
        for part in ("epoch   1/100  --------  loss 0.5000", measure, "best 1", " left"):
            assert part in shown


def test_time_between_epochs_is_no_time_of_an_epoch(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(history.time, "perf_counter", lambda: now[0])

    def wait(trainer, history):
        now[0] += 100

    trainer().fit(X, Y, epochs=2, callbacks=wait, verbose=2)
    assert re.findall(r"(\S+) rows/s", capsys.readouterr().err) == ["40,000,000,000"] * 2, (
        "40 in a nanosecond, the least"
    )


def test_a_line_per_epoch(capsys):
    trainer().fit(X, Y, epochs=3, validation_data=(X, Y), verbose=2)
    err = capsys.readouterr().err
    assert "\r" not in err
    assert [line.split("  ")[0] for line in err.splitlines()] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert err.splitlines()[-1].endswith("0:00 left")
    assert all("val_accuracy" in line for line in err.splitlines())


@pytest.mark.parametrize("verbose", [False, 0, "auto"])
def test_nothing_is_written_without_terminal_or_wish(verbose, capsys):
    trainer().fit(X, Y, verbose=verbose)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_no_line_reaches_the_width_of_the_terminal(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(history.Progress, "_INTERVAL", 0)

    def a_metric_with_a_rather_long_name(output, target):
        return 1e12

    run = trainer(metrics=a_metric_with_a_rather_long_name)
    run.fit(X, Y, epochs=12, batch_size=4, validation_data=(X, Y), verbose=True)
    run.fit(X, Y, epochs=12, batch_size=4, verbose=2)
    written = lines(capsys.readouterr().err)
    assert max(map(len, written)) < columns
    if columns >= 80:
        for part in ("loss ", "accuracy ", " rows/s", " left"):
            assert part in written[-2], "what matters most stays in a line of 80 columns"


def test_the_width_is_that_of_the_terminal_on_standard_error():
    code = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        import fcntl, os, struct, termios, numpy as np, fastnn as fnn
        os.environ.pop("COLUMNS", None)
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 33, 0, 0))
        run = fnn.Trainer(fnn.MLP([4, 3], seed=0), "cross_entropy")
        run.fit(np.ones((8, 4), "f"), np.arange(8) % 3, epochs=5)
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd="/", stderr=theirs) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how Linux says that the other side has closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    assert child.returncode == 0, shown
    assert "epoch 5/5" in shown.decode(), "auto: a terminal gets a line"
    assert max(map(len, lines(shown.decode()))) < 33


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, None])
def test_the_line_ends_with_a_newline_however_it_ends(error, capsys):
    def stop(trainer, history):
        if error is not None:
            raise error
        return True

    run = trainer()
    if error is None:
        run.fit(X, Y, epochs=5, callbacks=stop, verbose=True)
    else:
        with pytest.raises(error):
            run.fit(X, Y, epochs=5, callbacks=stop, verbose=True)
    err = capsys.readouterr().err
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "epoch 1/5" in err


@pytest.mark.parametrize("verbose", ["auto", True, 2])
def test_training_without_a_standard_error_stream(verbose, monkeypatch):
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        assert len(trainer().fit(X, Y, verbose=verbose)["loss"]) == 1


def test_within_an_epoch_the_line_shows_the_mean_so_far(capsys, monkeypatch):
    monkeypatch.setattr(history.Progress, "_INTERVAL", 0)
    monkeypatch.setattr(compiled, "_SLICE", 0.0)
    run = trainer(optimizer=fnn.SGD(lr=0.0))
    run.fit(X, Y, batch_size=10, shuffle=False, verbose=True)
    written = [line for line in lines(capsys.readouterr().err) if line.startswith("epoch")]
    assert all(line.startswith("epoch 1/1  ") for line in written)
    shown = [float(re.search(r"loss (\S+)", line)[1]) for line in written]
    want = [run.evaluate(X[:rows], Y[:rows])["loss"] for rows in (10, 20, 30, 40)]
    np.testing.assert_allclose(shown, want, atol=1e-4)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


def test_the_rate_is_that_of_the_epoch_and_the_time_left_that_of_all_epochs(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(history, "time", clock)
    with history.Progress(2, epochs=4, rows=100) as progress:
        for seconds in (2.0, 1.0):
            progress.begin_epoch()
            clock.now += seconds
            progress.minibatch(100, dict)
            clock.now += 1.0  # validation, say
            progress.end_epoch({"loss": 0.5})
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/4  loss 0.5000  50 rows/s  0:09 left",
        "epoch 2/4  loss 0.5000  100 rows/s  0:05 left",
    ]


def test_the_line_is_renewed_ten_times_a_second(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(history, "time", clock)
    progress = history.Progress(1, epochs=1, rows=100)
    written = []
    for _ in range(8):
        clock.now += 0.0625
        progress.minibatch(10, lambda: {"loss": 0.5})
        written.append(bool(capsys.readouterr().err))
    assert written == [False, True] * 4


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (90061, "25:01:01")]
)
def test_time_left_in_minutes_or_hours(seconds, text):
    assert history._clock(seconds) == text


@pytest.mark.parametrize("verbose", ["yes", 3, -1, None])
def test_unknown_verbosity(verbose):
    run = trainer()
    with pytest.raises(ValueError, match=f"fit: verbose is {verbose!r} but 'auto', False, True or 2 was expected"):
        run.fit(X, Y, verbose=verbose)
    assert run.steps_done == 0
