"""The command line from inside: the recipe of `fastnn train digits`, its clock, defaults, and the restart with one thread."""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fnn
from fastnn import benchmarks, cli


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told that time has passed."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def test_train_digits_is_this_recipe(clock, monkeypatch, tmp_path, capsys):
    fit, compared = fnn.Trainer.fit, []

    def slow_fit(*arguments, **options):
        clock.now += 4
        return fit(*arguments, **options)

    monkeypatch.setattr(fnn.Trainer, "fit", slow_fit)
    monkeypatch.setattr(cli, "_times_faster", lambda *arguments: compared.append(arguments) or 2.5)
    path = str(tmp_path / "m")
    cli.main(["train", "digits", "--epochs", "2", "--hidden", "16", "--out", path, "--json"])
    x, y = fnn.datasets.load_digits()
    x = x / 16
    kept, held_out = cli._stratified_split(y)
    model = fnn.MLP([64, 16, 10], dropout=0.5, task="classification", seed=0)
    trainer = fnn.Trainer(model, fnn.CrossEntropy(label_smoothing=0.1), fnn.Adam(lr=2e-3), seed=0)
    fit(trainer, x[kept], y[kept], epochs=2, batch_size=32)
    for name, value in fnn.load(path).state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "data": "digits", "split": "1438 rows to train, 359 held out, stratified", "seed": 0,
        "held_out_accuracy": trainer.evaluate(x[held_out], y[held_out])["accuracy"], "rows_per_second": 2 * 1438 / 4,
        "times_faster_than_numpy": 2.5, "saved": path,
    }  # fmt: skip
    ((sizes, rows, labels, lr),) = compared
    assert (sizes, lr) == ((64, 16, 10), 2e-3)
    np.testing.assert_array_equal(rows, x[kept])
    np.testing.assert_array_equal(labels, y[kept])


def test_train_digits_prints_what_it_did(clock, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli, "_times_faster", lambda *arguments: 2.54)
    monkeypatch.setattr(fnn.Trainer, "fit", lambda self, *rows, **options: setattr(clock, "now", clock.now + 0.5))
    monkeypatch.setattr(fnn.Trainer, "evaluate", lambda self, *rows: {"accuracy": 0.98765})
    path = str(tmp_path / "m")
    cli.main(["train", "digits", "--epochs", "1000", "--seed", "7", "--out", path])
    assert capsys.readouterr().out.splitlines() == [
        "split              1438 rows to train, 359 held out, stratified",
        "seed               7",
        "held-out accuracy  0.9877",
        "throughput         2,876,000 rows/s",
        "against NumPy      2.5 times faster, the same training in this run, one thread each",
        f"saved              {path}",
    ]


def test_numpy_trains_the_same_net_in_turn(clock, monkeypatch):
    x, y = np.arange(70), np.arange(70) + 100
    turns, order = {"fastnn": [], "reference": []}, []

    def stepping(name, seconds):
        def step(rows, labels):
            order.append(name)
            turns[name].append((rows, labels))
            clock.now += seconds

        return step

    monkeypatch.setattr(
        cli, "_digits_trainer", lambda *given, seed: SimpleNamespace(model=(given, seed), step=stepping("fastnn", 2))
    )

    def reference(*given):
        assert given == ((((9, 8), 1e-3), 0), 1e-3, 0.5, 0.1), "the net; rate, dropout, smoothing"
        return SimpleNamespace(step=stepping("reference", 5))

    monkeypatch.setattr(benchmarks, "ReferenceMLP", reference)
    assert cli._times_faster((9, 8), x, y, 1e-3) == 2.5
    assert order == 5 * (3 * ["fastnn"] + 3 * ["reference"])
    for batches in turns.values():
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in batches]), np.tile(x, 5))
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), np.tile(y, 5))


def test_the_split_has_a_seed():
    y = fnn.datasets.load_digits()[1]
    for same, other in zip(cli._stratified_split(y), cli._stratified_split(y, seed=0), strict=True):
        np.testing.assert_array_equal(same, other)
    assert (cli._stratified_split(y, seed=1)[1] != cli._stratified_split(y)[1]).any()


def test_defaults_of_train_digits(monkeypatch):
    ran = []
    monkeypatch.setattr(cli, "_train_digits", ran.append)
    cli.main(["train", "digits"])
    options = vars(ran[0])
    del options["run"]
    assert options == {
        "command": "train", "data": "digits", "seed": 0, "hidden": [256], "epochs": 100, "lr": 2e-3, "out": "digits.safetensors",
        "json": False, "target": None, "task": None, "preset": None, "compare": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seed", "0", None),
        ("--seed", str(2**64 - 1), None),
        ("--seed", str(2**64), f"{2**64} is not below 2^64"),
        ("--seed", "-1", "-1 is negative"),
        ("--lr", "0.5", None),
        ("--lr", "0", "0 is not positive"),
        ("--lr", "inf", "inf is not positive"),
        ("--epochs", "1", None),
        ("--epochs", "0", "0 is not positive"),
        ("--hidden", "8,", None),
    ],
)
def test_the_ends_of_what_options_accept(option, value, message, capsys):
    arguments = ["train", "digits", option, value]
    if message is None:
        parsed = getattr(cli._parser().parse_args(arguments), option[2:])
        assert parsed == ([8] if option == "--hidden" else float(value) if option == "--lr" else int(value))
    else:
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2
        assert capsys.readouterr().err == f"fastnn train: argument {option}: {message}\n"


NAMES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS")


@pytest.mark.parametrize("other", [None, *NAMES])
def test_a_comparison_starts_again_with_one_thread_unless_it_has_one(other, monkeypatch):
    restarts = []
    monkeypatch.setattr(os, "execve", lambda *arguments: restarts.append(arguments))
    for name in NAMES:
        monkeypatch.setenv(name, "2" if name == other else "1")
    cli._restart_with_one_thread()
    if other is None:
        assert not restarts
    else:
        ((program, arguments, environment),) = restarts
        assert (program, arguments) == (sys.executable, sys.orig_argv)
        assert environment == os.environ | dict.fromkeys(NAMES, "1")


@pytest.mark.parametrize(("words", "restarts"), [("train digits", 1), ("bench", 1), ("info", 0)])
def test_only_what_compares_starts_again(words, restarts, monkeypatch):
    calls = []
    for name in ("_train", "_bench", "_info"):
        monkeypatch.setattr(cli, name, lambda options: None)
    monkeypatch.setattr(cli, "_restart_with_one_thread", lambda: calls.append(words))
    monkeypatch.setattr(sys, "argv", ["fastnn", *words.split()])
    cli.main()
    assert len(calls) == restarts
    cli.main(words.split())
    assert len(calls) == restarts, "a program that calls main is not replaced"


def test_the_page_of_features_is_what_the_command_prints(capsys):
    cli.main(["info", "--features"])
    printed = capsys.readouterr().out
    page = (Path(__file__).parents[1] / "docs" / "features.md").read_text()
    assert page == printed, "run `make features`"


def test_every_feature_is_listed_with_what_it_is(capsys):
    cli.main(["info", "--features", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == ["Losses", "Layers", "Optimizers", "Schedules", "Initialisers", "Metrics", "Callbacks"]
    assert all(text for rows in listed.values() for text in rows.values())
    assert {"cross_entropy (CrossEntropy)", "mse (MSE)"} <= set(listed["Losses"])
    assert {"Linear", "GELU", "Sequential"} <= set(listed["Layers"])
    assert "Glorot and Bengio, 2010" in listed["Initialisers"]["xavier_normal"]
    assert listed["Metrics"]["f1_macro"].endswith("Macro average.")
    assert {"EarlyStopping", "lr_find"} <= set(listed["Callbacks"])
