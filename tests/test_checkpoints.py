"""A trainer in a file: what is loaded goes on bit for bit, and whatever happens to a file, it is whole or refused."""

import contextlib
import copy
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from layer_cases import every_layer
from support import refused

import fastnn as fnn
from fastnn import schedules, serialization
from fastnn.callbacks import Callback, ModelCheckpoint, ReduceLROnPlateau

RNG = np.random.default_rng(0)
X = RNG.standard_normal((53, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 53)
WEIGHT = RNG.uniform(0.5, 2, 53)
OPTIONS = {"batch_size": 8, "verbose": False}


def layers(dtype=np.float32):
    """Return layers with everything that a training changes or draws."""
    return (
        fnn.Linear(6, 8, rng=0, dtype=dtype), fnn.BatchNorm1d(8, dtype=dtype), fnn.PReLU(8, dtype=dtype), fnn.Dropout(0.3, seed=2),
        fnn.Linear(8, 3, rng=1, dtype=dtype),
    )  # fmt: skip


def trainer(optimizer="adam", loss="cross_entropy", model=None, dtype=np.float32, **options):
    model = fnn.Sequential(*layers(dtype)) if model is None else model
    return fnn.Trainer(model, loss, optimizer, seed=2**63 + 5, **options)


def members():
    return fnn.Sequential(
        fnn.Ensemble(
            3, fnn.Linear(6, 5, rng=0), fnn.Tanh(), fnn.AlphaDropout(0.2, seed=1), fnn.Linear(5, 3, rng=0), rng=1
        )
    )


# From a name to a function that makes a trainer, and options of fit.
CASES = {
    **{name: (lambda cls=cls: trainer(cls()), {}) for name, cls in fnn.optim.OPTIMIZERS.items()},
    "momentum": (lambda: trainer(fnn.SGD(lr=0.1, momentum=0.9, dampening=0.1)), {"shuffle": False}),
    "nesterov": (lambda: trainer(fnn.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)), {"mixup": 0.4}),
    "amsgrad": (lambda: trainer(fnn.AdamW(amsgrad=True), dtype=np.float64), {"mixup": 0.4}),
    "centered": (lambda: trainer(fnn.RMSprop(lr=0.01, centered=True, momentum=0.5)), {"class_weight": "balanced"}),
    "by epoch": (lambda: trainer(fnn.Adam(lr=schedules.Cosine(0.01, 3, restarts=True))), {}),
    "by step": (lambda: trainer(fnn.SGD(lr=schedules.Warmup(9, then=schedules.OneCycle(0.1, 60)))), {}),
    "ema": (lambda: trainer(ema=0.9, max_norm=0.7), {}),
    "accumulate": (lambda: trainer(accumulate=3, l1=1e-3, l2=1e-3, clip_norm=0.5, clip_value=0.1), {"mixup": 0.2}),
    "groups": (lambda: trainer(groups={"*.bias": {"lr": np.float32(1e-3)}, "0.*": {"lr": schedules.Step(0.01, 2)}}), {}),
    "weights": (lambda: trainer(loss=fnn.CrossEntropy([1, 2, 0.5], 1, 0.1)), {"sample_weight": WEIGHT.tolist()}),
    "ensemble": (lambda: trainer(model=members(), ema=0.5), {}),
    "metrics": (lambda: trainer(metrics=["f1_macro", "confusion_matrix", fnn.metrics.log_loss]), {"validation_split": 0.2}),
}  # fmt: skip

RESUME = """
import json
import numpy as np
import fastnn as fnn

x, y = (np.load(f"{name}.npy") for name in "xy")
for name, options in json.load(open("cases.json")).items():
    run = fnn.Trainer.load(f"{name}.4")
    run.fit(x, y, epochs=6, **options)
    run.save(f"{name}.resumed")
"""


def tensors_of(path):
    """Return the bytes of each tensor, without the history, and the table of the trainer."""
    tensors, metadata = serialization._read(path)
    named = {name: value.tobytes() for name, value in tensors.items() if not name.startswith("trainer.history.")}
    return named, json.loads(metadata["trainer"])


def test_ten_epochs_equal_four_saved_and_six_in_a_new_process(tmp_path):
    whole = {}
    np.save(tmp_path / "x", X)
    np.save(tmp_path / "y", Y)
    for name, (make, options) in CASES.items():
        run, whole[name] = make(), make()
        whole[name].fit(X, Y, epochs=10, **OPTIONS, **options)
        whole[name].save(tmp_path / f"{name}.10")
        run.fit(X, Y, epochs=4, **OPTIONS, **options)
        run.save(tmp_path / f"{name}.4")
    (tmp_path / "cases.json").write_text(json.dumps({name: OPTIONS | options for name, (_, options) in CASES.items()}))
    subprocess.run([sys.executable, "-c", RESUME], cwd=tmp_path, check=True, timeout=100)
    for name, run in whole.items():
        assert tensors_of(tmp_path / f"{name}.resumed") == tensors_of(tmp_path / f"{name}.10"), name
        parts = [fnn.Trainer.load(tmp_path / f"{name}.{part}").history for part in ("4", "resumed")]
        assert [len(part["loss"]) for part in parts] == [4, 6]
        for key, values in run.history.items():
            np.testing.assert_array_equal(parts[0][key] + parts[1][key], values, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_trainer_is_the_saved_one(tmp_path, name):
    make, options = CASES[name]
    run = make()
    run.fit(X, Y, **OPTIONS, **options)
    run.save(tmp_path / "a")
    again = fnn.Trainer.load(tmp_path / "a")
    assert repr(again)[:-1] == repr(run)[:-1].split(", layer by layer")[0]  # why is found out at the first step
    assert again.history.seed == again.seed == run.seed
    for option in (
        "l1",
        "l2",
        "clip_norm",
        "clip_value",
        "accumulate",
        "ema",
        "max_norm",
        "groups",
        "metrics",
        "lr_factor",
    ):
        assert getattr(again, option) == getattr(run, option)
    np.testing.assert_equal(dict(again.history), dict(run.history))
    np.testing.assert_array_equal(again.predict(X), run.predict(X))
    np.testing.assert_equal(again.evaluate(X, Y), run.evaluate(X, Y))
    again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@every_layer
def test_a_trainer_of_every_layer_comes_back_in_every_dtype(make, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # many files
    x = make.draw(np.random.default_rng(0))
    for layer in (make(dtype), make(dtype).astype(np.float32)):
        run = fnn.Trainer(layer, "mse", seed=0)
        run.save(tmp_path / "a")
        again = fnn.Trainer.load(tmp_path / "a")
        if run.model.state_dict():  # others have nothing to train
            target = np.zeros_like(run.predict(x))
            assert run.step(x, target) == again.step(x, target)
        run.save(tmp_path / "a")
        again.save(tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_steps_that_wait_for_others_are_saved(tmp_path):
    run = trainer(accumulate=3)
    for _ in range(5):
        run.step(X, Y, WEIGHT)
    run.lr_factor = 0.25
    run.save(tmp_path / "m")
    again = fnn.Trainer.load(tmp_path / "m")
    assert again.lr_factor == 0.25
    for each, path in ((run, "a"), (again, "b")):
        for _ in range(2):
            each.step(X, Y)
        each.save(tmp_path / path)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert again.steps_done == 2


def test_a_trainer_that_has_done_nothing_is_saved_with_its_loss_undecided(tmp_path):
    trainers = [fnn.Trainer(fnn.Sequential(*layers()), ema=0.9, seed=1) for _ in range(2)]
    trainers[0].save(tmp_path / "m")
    trainers[0] = fnn.Trainer.load(tmp_path / "m")
    assert trainers[0].loss is None
    assert trainers[0].history == {}
    histories = [run.fit(X, Y, epochs=2, **OPTIONS) for run in trainers]
    assert histories[0] == histories[1]
    assert trainers[0].loss == fnn.CrossEntropy()


def test_the_file_of_a_trainer_is_also_that_of_the_model_that_predicts(tmp_path):
    for run in (trainer(ema=0.5), trainer()):
        run.fit(X, Y, epochs=2, **OPTIONS)
        run.save(tmp_path / "m")
        np.testing.assert_array_equal(fnn.load(tmp_path / "m")(X), run.predict(X))


def test_values_of_the_history_come_back_as_they_were(tmp_path):
    run = trainer()
    run.history.update(
        a=[1.5, np.nan, np.inf], b=[1, 2], c=[np.eye(2), np.ones((2, 2))], d=[np.float32(0.1)], e=[], f=[True]
    )
    run.save(tmp_path / "m")
    history = fnn.Trainer.load(tmp_path / "m").history
    np.testing.assert_equal(dict(history), dict(run.history))
    assert [type(value) for value in (history["a"][0], history["b"][0], history["c"][0])] == [float, int, np.ndarray]
    history["c"][0][0, 0] = 7  # is no view of the file
    message = "save: history['a'] does not hold a number, or an array of one shape, for each epoch"
    for values in (["text"], [np.eye(2), np.eye(3)], [None]):
        run.history["a"] = values
        refused(lambda: run.save(tmp_path / "m"), TypeError, message)
    assert fnn.Trainer.load(tmp_path / "m").history.keys() == history.keys()


# ---------------------------------------------------------------------------------------------------------- what is one's own


class Shift(fnn.Layer):
    """y = x + shift."""

    def __init__(self, features, dtype=np.float32):
        super().__init__()
        self.features = features
        self._parameters["shift"] = np.zeros(features, dtype)

    def __call__(self, x, out=None):
        return np.add(x, self.shift, out=out)

    def vjp(self, x, step=0, train=True):
        def backward(dy):
            self.grads = {"shift": dy.sum(0)}
            return dy

        return self(x), backward


def own_loss(output, target):
    return fnn.CrossEntropy()(output, target)


def own_metric(output, target):
    return float((output.argmax(-1) == target).mean())


class OwnOptimizer:
    slots = ("mean",)

    def update(self, param, grad, slots, step, lr=None):
        slots["mean"] += 0.1 * (grad - slots["mean"])
        param -= 0.01 * np.sign(slots["mean"])


class OwnSchedule(schedules.Schedule):
    by = "step"

    def __call__(self, step, epoch):
        return 0.1 / (1 + step)


def own_model():
    return fnn.Sequential(fnn.Linear(6, 3, rng=0), Shift(3))


OWN = {"model": own_model, "loss": lambda: own_loss, "optimizer": OwnOptimizer, "metrics": lambda: [own_metric]}


def test_what_is_ones_own_is_passed_again(tmp_path):
    def make():
        return fnn.Trainer(own_model(), own_loss, OwnOptimizer(), metrics=[own_metric], seed=0)

    run, whole = make(), make()
    run.fit(X, Y, epochs=4, **OPTIONS)
    run.save(tmp_path / "m")
    model = own_model()
    again = fnn.Trainer.load(tmp_path / "m", model, own_loss, OwnOptimizer(), metrics=own_metric)
    assert again.model is model
    again.fit(X, Y, epochs=6, **OPTIONS)
    whole.fit(X, Y, epochs=10, **OPTIONS)
    again.save(tmp_path / "a")
    whole.save(tmp_path / "b")
    assert tensors_of(tmp_path / "a") == tensors_of(tmp_path / "b")
    assert again.evaluate(X, Y) == whole.evaluate(X, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": own_model()}, "the model holds 'Shift', which is not fastnn's; pass model= again"),
        ({"loss": own_loss}, "the loss holds 'own_loss', which is not fastnn's; pass loss= again"),
        ({"optimizer": OwnOptimizer()}, "the optimizer holds 'OwnOptimizer', which is not fastnn's; pass optimizer= again"),
        ({"optimizer": fnn.SGD(lr=OwnSchedule())}, "the optimizer holds 'OwnSchedule', which is not fastnn's; pass optimizer= again"),
        ({"metrics": ["f1", own_metric]}, "the metric 'own_metric' is not fastnn's; pass metrics= again, all of them"),
    ],
)  # fmt: skip
def test_what_is_ones_own_is_named_where_it_is_not_passed(tmp_path, options, message):
    path = tmp_path / "m"
    trainer(**options).save(path)
    refused(lambda: fnn.Trainer.load(path), ValueError, f"Trainer.load: {path}: {message}")
    given = copy.deepcopy(options)
    again = fnn.Trainer.load(path, **given)
    assert again.step(X, Y) == trainer(**copy.deepcopy(options)).step(X, Y)


def test_what_is_passed_takes_the_place_of_what_is_in_the_file(tmp_path):
    trainer(fnn.Adam(lr=0.5), metrics="f1").save(tmp_path / "m")
    again = fnn.Trainer.load(tmp_path / "m", loss="multi_margin", optimizer=fnn.AdamW(lr=0.25), metrics=["recall"])
    assert (again.loss, again.optimizer) == (fnn.MultiMargin(), fnn.AdamW(lr=0.25))
    assert list(again.metrics) == ["recall"]


def test_what_is_passed_must_fit_and_a_model_does_not_change_otherwise(tmp_path):
    path = tmp_path / "m"
    run = trainer()
    run.fit(X, Y, **OPTIONS)
    run.save(path)
    wide = fnn.Sequential(fnn.Linear(6, 9, rng=0), *layers()[1:])
    double = fnn.Sequential(*layers(np.float64))
    bare = fnn.Sequential(*layers()[:4])
    for given, message in (
        ({"model": wide}, r"0\.weight is float32 \(8, 6\) but float32 \(9, 6\) was expected"),
        ({"model": double}, r"0\.weight is float32 \(8, 6\) but float64 \(8, 6\) was expected"),
        ({"model": bare}, r"missing nothing, unexpected \['4\.weight', '4\.bias', .*\] among the tensors"),
        ({"optimizer": "lion"}, r"missing nothing, unexpected \['trainer\.slots\.exp_avg_sq\.0\.weight', .*\] among the tensors"),
        ({"optimizer": fnn.Adam(amsgrad=True)}, r"missing \['trainer\.slots\.max_exp_avg_sq\.0\.weight', .*"),
        ({"loss": 3}, "Trainer: loss is 3 but a name, an object or a callable was expected"),
    ):  # fmt: skip
        before = given["model"].state_dict() if "model" in given else {}
        with pytest.raises(ValueError, match=rf"^Trainer\.load: {path}: {message}$"):
            fnn.Trainer.load(path, **given)
        for name, value in before.items():
            np.testing.assert_array_equal(given["model"].state_dict()[name], value)
    for given, message in (
        ({"model": 3}, "Trainer.load: model is int but a fastnn layer, such as Sequential, was expected"),
        ({"optimizer": 3}, "Trainer: optimizer is 3 but a name or a specification was expected"),
    ):
        refused(lambda given=given: fnn.Trainer.load(path, **given), TypeError, message)


def test_what_a_file_cannot_hold_is_refused_before_it_is_written(tmp_path):
    message = "save: groups hold OwnSchedule, which is not fastnn's"
    refused(lambda: trainer(groups={"0.*": {"lr": OwnSchedule()}}).save(tmp_path / "m"), TypeError, message)
    model = own_model()
    model[1]._buffers["mask"] = np.ones(3, bool)
    message = "save: 1.mask has dtype bool but float32, float64 or int64 was expected"
    refused(lambda: trainer(model=model).save(tmp_path / "m"), TypeError, message)
    refused(lambda: trainer().save(3), TypeError, "save: path is 3 but the name of a file was expected")
    refused(lambda: fnn.Trainer.load(3), TypeError, "Trainer.load: path is 3 but the name of a file was expected")
    first = trainer()
    trainer(model=first.model)
    with pytest.raises(RuntimeError, match=r"^save: the model was taken over by a later Trainer"):
        first.save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------------------------------------ damaged files


def test_files_of_models_and_trainers_are_told_apart(tmp_path):
    path = tmp_path / "m"
    fnn.save(fnn.MLP([4, 3], seed=0), path)
    message = f"Trainer.load: {path}: the file holds no trainer; fastnn.load reads models"
    refused(lambda: fnn.Trainer.load(path), ValueError, message)
    trainer(model=own_model()).save(path)
    message = f"load: {path}: the file has tensors but no fastnn architecture; use load_state_dict"
    refused(lambda: fnn.load(path), ValueError, message)
    with pytest.raises(FileNotFoundError):
        fnn.Trainer.load(tmp_path / "absent")


def rewritten(path, change=None, table=None, **tensors):
    """Write a trainer's file again with its table changed, and tensors replaced, or left out where None."""
    old, metadata = serialization._read(path)
    found = json.loads(metadata["trainer"])
    if change is not None:
        change(found)
    metadata["trainer"] = json.dumps(found) if table is None else table
    serialization.write(path, {name: value for name, value in (old | tensors).items() if value is not None}, metadata)


def table_changes():
    """Yield (what, change) of tables that no trainer has."""
    for key in serialization._TABLE:
        yield f"without {key}", lambda table, key=key: table.pop(key)
        for value in ([], {}, "text", [1], {"class": "Linear"}, True):
            yield f"{key} = {value!r}", lambda table, key=key, value=value: table.update({key: value})
    for key in (
        "seed",
        "epochs_done",
        "steps_done",
        "gathered_minibatches",
        "accumulate",
        "l1",
        "lr_factor",
        "gathered_rows",
    ):
        for value in (-1, None, 10**400, 1e400):
            yield f"{key} = {value!r:.20}", lambda table, key=key, value=value: table.update({key: value})
    for key, value in (
        ("l2", -1e-9), ("clip_norm", 0), ("clip_value", "1"), ("ema", 1), ("max_norm", -1), ("accumulate", 0), ("seed", 2**64), ("seed", 1.0),
        ("gathered_minibatches", 1), ("unknown", 1), ("metrics", ["no such"]), ("metrics", [["f1"]]), ("metrics", ["f1", "f1"]),
        ("loss", {"class": "Adam", "config": {}}), ("loss", {"class": "Constant", "config": {"lr": 1}}), ("loss", {"own": ["x"]}),
        ("optimizer", {"class": "CrossEntropy", "config": {}}), ("optimizer", {"class": "Adam", "config": {"lr": -1}}), ("optimizer", None),
        ("optimizer", {"class": "SGD", "config": {}}), ("model", "Mine"), ("groups", {"0.*": 1}), ("groups", {"9.*": {"lr": 1}}),
        ("groups", {"0.*": {"lr": {"class": "Linear", "config": {"in_features": 10**9, "out_features": 10**9}}}}),
    ):  # fmt: skip
        yield f"{key} = {value!r:.60}", lambda table, key=key, value=value: table.update({key: value})


def refusal(path):
    """Return the message with which a file is refused, None if it is loaded; anything else fails, as do 100 MB of memory."""
    tracemalloc.start()
    try:
        fnn.Trainer.load(path)
    except ValueError as error:
        return str(error)
    else:
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6


def test_tables_that_no_trainer_has_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # 150 files
    good, path = tmp_path / "good", tmp_path / "m"
    run = trainer(ema=0.9)
    run.fit(X, Y, **OPTIONS)
    run.save(good)
    accepted = set()
    for what, change in table_changes():
        path.write_bytes(good.read_bytes())
        rewritten(path, change)
        message = refusal(path)
        if message is None:
            accepted.add(what)
            continue
        assert message.startswith(f"Trainer.load: {path}: "), what
        assert "\n" not in message, what
        assert len(message) < 600, what
    assert accepted == {"metrics = []", "groups = {}"}  # which a trainer may have


def test_broken_tables_and_tensors_are_refused(tmp_path):
    good, path = tmp_path / "good", tmp_path / "m"
    trainer().save(good)
    slot = np.zeros((8, 6), np.float32)
    for what, options in {
        "no JSON": {"table": "{"},
        "no table": {"table": "[1]"},
        "nested": {"table": "[" * 100_000},
        "NaN": {"table": '{"version": NaN}'},
        "a tensor too many": {"extra": slot},
        "a slot too many": {"trainer.slots.exp_avg.9.weight": slot},
        "a slot too few": {"trainer.slots.exp_avg.0.weight": None},
        "a slot of another shape": {"trainer.slots.exp_avg.0.weight": slot.T.copy()},
        "a slot of another dtype": {"trainer.slots.exp_avg.0.weight": slot.astype(np.float64)},
        "averages without ema": {"trainer.parameters.0.weight": slot},
        "a history of one number": {"trainer.history.loss": np.zeros(())},
        "no bias": {"0.bias": None},
    }.items():
        path.write_bytes(good.read_bytes())
        rewritten(path, **options)
        message = refusal(path)
        assert message is not None, what
        assert message.startswith(f"Trainer.load: {path}: "), what
        assert "\n" not in message, what
    for data in (b"", good.read_bytes()[:-1], good.read_bytes() + b"x", b"PK" + good.read_bytes()):
        path.write_bytes(data)
        assert refusal(path).startswith(f"Trainer.load: {path}: not a safetensors file of float32, float64 or int64: ")


def test_a_file_of_a_later_version_says_so(tmp_path):
    path = tmp_path / "m"
    trainer().save(path)
    rewritten(path, lambda table: table.update(version=2, colour="blue"))
    message = f"Trainer.load: {path}: the file is written by a later fastnn in version 2; this fastnn reads version 1"
    refused(lambda: fnn.Trainer.load(path), ValueError, message)


def test_trainers_with_flipped_bytes_are_loaded_or_refused(tmp_path):
    """``make fuzz`` runs 10,000 of them and bounds their time too."""
    flips = int(os.environ.get("FASTNN_FLIPS", 300))
    path, rng, loaded = tmp_path / "m", np.random.default_rng(flips), 0
    run = trainer(ema=0.9, accumulate=2, groups={"0.*": {"lr": schedules.Step(0.1, 2)}})
    run.fit(X, Y, **OPTIONS)
    run.step(X, Y)
    run.save(path)
    good = path.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    start_of_table = good.index(b"trainer")
    for _ in range(flips):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            first, last = [(0, header), (start_of_table, start_of_table + 1500), (0, len(data))][rng.integers(3)]
            data[rng.integers(first, last)] = (
                rng.integers(256) if rng.random() < 0.5 else rng.choice(list(b'0123456789[]{},:"-+.eE'))
            )
        path.write_bytes(data)
        start = time.monotonic()
        loaded += refusal(path) is None
        if "FASTNN_FLIPS" in os.environ:
            assert time.monotonic() - start < 1
    assert 0 < loaded < flips


# ------------------------------------------------------------------------------------------------------------------- writing


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name_and_its_name_before_save_returns(tmp_path, monkeypatch):
    calls = []

    def note(name):
        real = getattr(os, name)

        def noted(*arguments):
            what = os.readlink(f"/proc/self/fd/{arguments[0]}") if name == "fsync" else arguments[1]
            calls.append(
                (name, "folder" if what == str(tmp_path) else "name" if what == str(tmp_path / "m") else "file")
            )
            return real(*arguments)

        monkeypatch.setattr(os, name, noted)

    note("fsync")
    note("replace")
    trainer().save(tmp_path / "m")
    assert calls == [("fsync", "file"), ("replace", "name"), ("fsync", "folder")]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_no_error_but_one_that_fails_is(tmp_path, monkeypatch, number):
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, "folder")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with contextlib.nullcontext() if number == errno.EINVAL else pytest.raises(OSError, match="folder"):
        trainer().save(tmp_path / "m")
    assert fnn.Trainer.load(tmp_path / "m").steps_done == 0


@pytest.mark.parametrize("kind", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch, kind):
    run = trainer()
    run.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    run.step(X, Y)
    monkeypatch.setattr(os, kind, lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        run.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_a_checkpoint_survives_sigkill_at_any_moment_of_saving(tmp_path):
    """``make kill`` kills 200."""
    program = Path(__file__).with_name("kill.py")
    done = subprocess.run(
        [sys.executable, program, "20", "0"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


TRAINING = """
import numpy as np
import fastnn as fnn
from fastnn.callbacks import ModelCheckpoint

run = fnn.Trainer.load("start")
x, y = (np.load(f"{name}.npy") for name in "xy")
print("begins", flush=True)
run.fit(x, y, epochs=1000, batch_size=8, callbacks=ModelCheckpoint("m", keep="last", save="trainer"), verbose=False)
"""


def test_a_training_killed_within_an_epoch_goes_on_from_its_checkpoint_bit_for_bit(tmp_path):
    run = trainer(fnn.Adam(lr=0.01), ema=0.9)
    run.save(tmp_path / "start")
    np.save(tmp_path / "x", X)
    np.save(tmp_path / "y", Y)
    with subprocess.Popen([sys.executable, "-c", TRAINING], cwd=tmp_path, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        while not (tmp_path / "m").exists():
            assert child.poll() is None
            time.sleep(0.001)
        time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    again = fnn.Trainer.load(tmp_path / "m")
    done = again.epochs_done
    assert 0 < done < 1000
    assert again.steps_done == 7 * done
    history = run.fit(X, Y, epochs=done + 3, **OPTIONS)
    assert again.history["loss"] == history["loss"][:done]
    assert again.fit(X, Y, epochs=3, **OPTIONS)["loss"] == history["loss"][done:]
    for each, name in ((run, "a"), (again, "b")):
        each.save(tmp_path / name)
    assert tensors_of(tmp_path / "a") == tensors_of(tmp_path / "b")


# ----------------------------------------------------------------------------------------------------------- while it trains


def test_a_callback_may_save_and_another_thread_may_not(tmp_path):
    errors, run = [], trainer()

    class Saves(Callback):
        def begin(self, trainer, names):
            trainer.save(tmp_path / "begin")

        def __call__(self, trainer, history):
            trainer.save(tmp_path / str(trainer.epochs_done))
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

        def end(self, trainer):
            trainer.save(tmp_path / "end")

    def work():
        with contextlib.suppress(AssertionError):
            refused(lambda: run.save(tmp_path / "other"), RuntimeError, message)
            errors.append(1)

    message = "save: the trainer is training already, in another thread or in the fit that calls this callback"
    run.fit(X, Y, epochs=3, callbacks=Saves(), **OPTIONS)
    assert errors == [1, 1, 1]
    assert sorted(os.listdir(tmp_path)) == ["1", "2", "3", "begin", "end"]
    again = fnn.Trainer.load(tmp_path / "1")
    assert again.history["loss"] == run.history["loss"][:1]
    assert again.fit(X, Y, epochs=2, **OPTIONS)["loss"] == run.history["loss"][1:]
    assert fnn.Trainer.load(tmp_path / "end").history == run.history


def test_a_checkpoint_of_the_trainer_goes_on_where_it_was_best(tmp_path):
    run = trainer(fnn.Adam(lr=0.05))
    callbacks = ModelCheckpoint(tmp_path / "best", save="trainer"), ReduceLROnPlateau(patience=0)
    history = run.fit(X, Y, epochs=12, validation_split=0.3, callbacks=callbacks, **OPTIONS)
    best = fnn.Trainer.load(tmp_path / "best")
    assert best.epochs_done == 1 + int(np.argmin(history["val_loss"]))
    assert best.history["val_loss"][-1] == min(history["val_loss"])
    assert best.lr_factor == 1.0
    assert run.lr_factor < 1.0
    np.testing.assert_array_equal(fnn.load(tmp_path / "best")(X), best.predict(X))


def test_a_checkpoint_keeps_the_model_or_the_trainer():
    message = "ModelCheckpoint: save is 'weights' but 'model' or 'trainer' was expected"
    refused(lambda: ModelCheckpoint("m", save="weights"), ValueError, message)
