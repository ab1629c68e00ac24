"""The package from outside: signatures, import, environment, command line, sources. Children run in a temporary folder."""

import ast
import errno
import inspect
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

import numpy as np
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import benchmarks
from fastnn import functional as F
from fastnn import reference as R

ROOT = Path(__file__).parents[1]
FUNCTIONS = [name for name, f in vars(F).items() if callable(f) and not name.startswith("_")]
ROOMS = ["activations", "losses", "norms", "optimizers", "products"]


def run(folder, *command, **environment):
    """Run a command in a folder; the environment's own settings of fastnn are left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTNN_")}
    return subprocess.run(command, cwd=folder, env={**kept, **environment}, capture_output=True, text=True, timeout=120)


def python(folder, code, **environment):
    return run(folder, sys.executable, "-c", code, **environment)


# ------------------------------------------------------------------------------------------------------------- signatures


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional_and_reference_have_one_signature_and_docstrings(name):
    assert str(inspect.signature(getattr(F, name))) == str(
        inspect.signature(getattr(R, name))
    )  # == looks past the order
    doc = inspect.getdoc(getattr(F, name))
    assert doc
    assert name == "activations" or "_update" in name or "Returns" in doc


@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if not re.search("loss|cross_entropy|update|_with_grad", name)]
)
def test_docstrings_tell_parameters_results_and_errors(name):
    doc = inspect.getdoc(getattr(F, name))
    told = doc.split("Returns\n---")[0]
    for parameter in inspect.signature(getattr(F, name)).parameters:
        assert re.search(rf"^(\*\*|.*\b){parameter}\b.* : ", told, re.M), parameter
    assert "Returns\n-------\n" in doc
    assert name == "activations" or "Raises\n------\n" in doc


def test_reference_needs_no_import_and_imports_numpy_alone(tmp_path):
    code = "import fastnn, sys; print('fastnn.reference' in sys.modules, fastnn.reference.relu(-1.0))"
    assert python(tmp_path, code).stdout.split() == ["False", "0.0"]
    sources = [path.read_text() for path in (ROOT / "fastnn" / "reference").glob("*.py")]
    imports = {words for source in sources for words in re.findall(r"^(?:from|import) (\S+)", source, re.M)}
    assert {name.partition(".")[0] for name in imports} == {
        "__future__",
        "inspect",
        "numpy",
        "fastnn",
    }  # of others, NumPy alone
    assert all(name.startswith("fastnn.reference.") for name in imports if name.startswith("fastnn"))
    done = python(tmp_path, "import fastnn; fastnn.nothing")
    assert done.stderr.endswith("AttributeError: module 'fastnn' has no attribute 'nothing'\n")


def test_names_that_are_loaded_on_first_use_are_listed(tmp_path):
    code = "import fastnn, sys; print({'reference', 'sklearn', 'Preprocessing', 'read_table', 'train_table'} - set(dir(fastnn)), "
    code += "'fastnn.table' in sys.modules)"
    assert python(tmp_path, code).stdout == "set() False\n"


def test_reference_has_nothing_else():
    assert sorted(FUNCTIONS) == sorted(
        name for name, f in vars(R).items() if inspect.isfunction(f) and not name.startswith("_")
    )


@pytest.mark.parametrize("module", [F, R], ids=["functional", "reference"])
def test_functions_stand_in_rooms_and_are_found_in_the_package(module):
    rooms = [sys.modules[f"{module.__name__}.{room}"] for room in ROOMS]
    assert sorted(module.__all__) == sorted(name for room in rooms for name in room.__all__) == sorted(FUNCTIONS)
    for room in rooms:
        for name in room.__all__:
            function = getattr(module, name)
            assert function is getattr(room, name)
            assert (function.__module__, function.__name__, function.__qualname__) == (module.__name__, name, name)
            assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize("module", [F, R], ids=["functional", "reference"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_annotated(module, name):
    function = getattr(module, name)
    signature, hints = inspect.signature(function), typing.get_type_hints(function)
    assert list(hints) == [*signature.parameters, "return"]
    assert signature.return_annotation == function.__annotations__["return"]
    for key, parameter in signature.parameters.items():
        assert parameter.annotation == function.__annotations__[key]
        if parameter.default is None:
            assert type(None) in typing.get_args(hints[key]), key
        elif parameter.default is not parameter.empty:
            assert type(parameter.default) is (typing.get_origin(hints[key]) or hints[key]), key


def test_annotations_of_made_functions():
    def of(name):
        return {key: str(value) for key, value in getattr(F, name).__annotations__.items()}

    array, maybe, out = "npt.ArrayLike", "npt.ArrayLike | None", "np.ndarray | None"
    assert of("elu") == {"x": array, "alpha": "float", "out": out, "return": "np.ndarray"}
    assert of("elu_backward") == {"grad": array, "x": maybe, "y": maybe, "alpha": "float", "out": out, "return": "np.ndarray"}  # fmt: skip
    assert of("gelu_backward") == {"grad": array, "x": array, "out": out, "return": "np.ndarray"}
    assert of("mse_loss") == {"input": array, "target": array, "sample_weight": maybe, "reduction": "str", "return": "float | np.ndarray"}  # fmt: skip
    assert of("cross_entropy_with_grad") == {
        "logits": array, "target": array, "weight": maybe, "sample_weight": maybe, "ignore_index": "int",
        "label_smoothing": "float", "reduction": "str", "out": out, "return": "tuple[float | np.ndarray, np.ndarray]",
    }  # fmt: skip
    assert of("sgd_update") == {
        "param": "np.ndarray", "grad": array, "velocity": out, "step": "int | None", "lr": "float",
        "momentum": "float", "dampening": "float", "nesterov": "bool", "weight_decay": "float", "return": "None",
    }  # fmt: skip
    assert of("adam_update") == {
        "param": "np.ndarray", "grad": array, "exp_avg": "np.ndarray", "exp_avg_sq": "np.ndarray",
        "max_exp_avg_sq": out, "step": "int", "lr": "float", "betas": "tuple[float, float]", "eps": "float",
        "weight_decay": "float", "amsgrad": "bool", "eps_hat": "bool", "return": "None",
    }  # fmt: skip


def test_docstrings_name_the_arguments():
    for name in FUNCTIONS:
        f = getattr(F, name)
        first = next(iter(inspect.signature(f).parameters), None)
        if name.endswith("_with_grad"):
            assert f"gradient by ``{first}``" in f.__doc__, name
            assert f"may be ``{first}``" in f.__doc__, name
            assert f"\n    d{first} : ndarray" in f.__doc__, name
        elif first:
            section = f.__doc__.split("----------\n")[1]
            assert section.startswith(f"    {first}"), name


def test_activations_describe_themselves():
    infos = F.activations()
    assert infos["leaky_relu"].params == {"negative_slope": 0.01}
    assert infos["softplus"].params == {"beta": 1.0, "threshold": 20.0}
    assert (infos["gelu"].saves, infos["sigmoid"].saves, infos["leaky_relu"].saves) == ("x", "y", "y")
    for name, info in infos.items():
        assert info.name == name
        assert getattr(fnn, info.layer)().saves == info.saves
        assert 0 <= info.ulp <= 1
        assert 0 <= info.ulp_backward <= 1
        assert info.domain == (-np.inf, np.inf)
    infos.clear()
    assert F.activations(), "a copy"


def test_specifications_point_to_the_function_that_describes_them():
    for spec, name in [
        (fnn.Adam, "adam_update"),
        (fnn.SGD, "sgd_update"),
        (fnn.CrossEntropy, "cross_entropy"),
        (fnn.MSE, "mse_loss"),
    ]:
        assert spec.__doc__.startswith(f"See ``functional.{name}``, whose ")
        assert spec.__module__ in ("fastnn.optim", "fastnn.losses")


DEFAULTS = {
    fnn.Linear: "bias=True init=None rng=None dtype=float32", fnn.Maxout: "pieces=2 bias=True init=None rng=None dtype=float32",
    fnn.PReLU: "num_parameters=1 init=0.25 dtype=float32", fnn.Dropout: "p=0.5 seed=None layer=0", fnn.Softmax: "axis=-1",
    fnn.MLP: "activation=relu dropout=0.0 init=None task=None seed=None dtype=float32",
    fnn.Trainer: "loss=None optimizer=adam metrics=() l1=0.0 l2=0.0 clip_norm=None clip_value=None groups=None "
                 "accumulate=1 ema=None max_norm=None seed=None",
    fnn.Trainer.fit: "epochs=1 batch_size=32 validation_data=None validation_split=0.0 sample_weight=None class_weight=None "
                     "shuffle=True callbacks=() mixup=0.0 verbose=auto",
    fnn.Trainer.predict: "batch_size=1024 out=None",
    fnn.SGD: "lr=0.001 momentum=0.0 dampening=0.0 nesterov=False weight_decay=0.0",
    fnn.Adagrad: "lr=0.01 lr_decay=0.0 weight_decay=0.0 initial_accumulator_value=0.0 eps=1e-10",
    fnn.Adadelta: "lr=1.0 rho=0.9 eps=1e-06 weight_decay=0.0",
    fnn.RMSprop: "lr=0.01 alpha=0.99 eps=1e-08 weight_decay=0.0 momentum=0.0 centered=False",
    fnn.Adam: "lr=0.001 betas=(0.9, 0.999) eps=1e-08 weight_decay=0.0 amsgrad=False eps_hat=False",
    fnn.AdamW: "lr=0.001 betas=(0.9, 0.999) eps=1e-08 weight_decay=0.01 amsgrad=False",
    fnn.Adamax: "lr=0.002 betas=(0.9, 0.999) eps=1e-08 weight_decay=0.0",
    fnn.NAdam: "lr=0.002 betas=(0.9, 0.999) eps=1e-08 weight_decay=0.0 momentum_decay=0.004 decoupled_weight_decay=False",
    fnn.RAdam: "lr=0.001 betas=(0.9, 0.999) eps=1e-08 weight_decay=0.0 decoupled_weight_decay=False",
    fnn.Lion: "lr=0.0001 betas=(0.9, 0.99) weight_decay=0.0",
    fnn.Rprop: "lr=0.01 etas=(0.5, 1.2) step_sizes=(1e-06, 50.0)",
    fnn.CrossEntropy: "weight=None ignore_index=-100 label_smoothing=0.0", fnn.MSE: "", fnn.Huber: "delta=1.0",
    F.cross_entropy: "weight=None sample_weight=None ignore_index=-100 label_smoothing=0.0 reduction=mean",
    F.dropout: "step=0 out=None", F.softplus: "beta=1.0 threshold=20.0 out=None", F.softmax: "axis=-1 out=None",
    F.linear: "bias=None activation=None out=None return_preactivation=False",
    F.linear_backward: "activation=None z=None y=None need_dx=True",
}  # fmt: skip


@pytest.mark.parametrize("named", DEFAULTS, ids=lambda named: named.__qualname__)
def test_defaults(named):
    parameters = inspect.signature(named).parameters.values()
    shown = {p.name: getattr(p.default, "__name__", p.default) for p in parameters if p.default is not p.empty}
    assert " ".join(f"{name}={value}" for name, value in shown.items()) == DEFAULTS[named]


def test_public_names():
    for name in ["Linear", "Maxout", "PReLU", "ReLU", "GELU", "Dropout", "Softmax", "Sequential", "MLP", "Trainer", "SGD", "Adam", "save", "load", "functional", "datasets", "set_num_threads", "get_num_threads", "threads", "isa", "available_isas", "show_versions"]:  # fmt: skip
        assert hasattr(fnn, name), name


# ------------------------------------------------------------------------------------------------ import and environment


def test_isa_from_the_environment(tmp_path):
    for isa in core.available_isas():
        assert python(tmp_path, "import fastnn; print(fastnn.isa())", FASTNN_ISA=isa).stdout.strip() == isa
    done = python(tmp_path, "import fastnn", FASTNN_ISA="bogus")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    choices = ", ".join(core.available_isas())
    assert last == f"ImportError: FASTNN_ISA is 'bogus', unknown or unsupported by this CPU; choices: {choices}"
    assert python(tmp_path, "import fastnn; print(fastnn.isa())").stdout.strip() == core.available_isas()[0]


def test_importing_the_unbuilt_source_tree_says_what_to_do(tmp_path):
    shutil.copytree(ROOT / "fastnn", tmp_path / "fastnn", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    # The finder of an editable install would lend this tree the extension of the other one.
    plain = "import sys; sys.meta_path = [f for f in sys.meta_path if f.__module__.startswith('_frozen_importlib')]"
    done = python(tmp_path, plain + "; import fastnn")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: fastnn is imported from its source tree")
    assert "make build" in last
    assert "leave this folder" in last


def test_import_adds_a_short_list_of_modules_to_numpy(tmp_path):
    """What these import in turn differs between versions of Python, so they come before what is counted."""
    listed = "__future__ _signal contextlib copy dataclasses functools inspect numpy.typing operator os stat threading weakref"
    before = f"import sys, numpy, {', '.join(listed.split())}; before = set(sys.modules)"
    done = python(tmp_path, f"{before}; import fastnn; print(*sorted(set(sys.modules) - before))")
    added = [name for name in done.stdout.split() if not re.match("_?cython_", name)]
    assert [name for name in added if name.partition(".")[0] != "fastnn"] == []
    assert "fastnn.functional" in added
    for later in ("accuracy", "benchmarks", "cli", "reference"):
        assert f"fastnn.{later}" not in added


@pytest.mark.parametrize("name", ["Preprocessing", "read_table", "train_table", "reference"])
def test_each_name_that_is_loaded_on_first_use_can_be_the_first(tmp_path, name):
    done = python(tmp_path, f"import fastnn; print(fastnn.{name})")
    assert (done.returncode, done.stderr) == (0, "")


def test_threads(tmp_path):
    code = "import fastnn; print(fastnn.get_num_threads())"
    assert python(tmp_path, code, FASTNN_NUM_THREADS="3", OMP_NUM_THREADS="2").stdout.strip() == "3"
    assert python(tmp_path, code, OMP_NUM_THREADS="2").stdout.strip() == "2"
    before = fnn.get_num_threads()
    try:
        fnn.set_num_threads(5)
        assert fnn.get_num_threads() == 5
        with fnn.threads(2):
            assert fnn.get_num_threads() == 2
            with fnn.threads(7):
                assert fnn.get_num_threads() == 5
            assert fnn.get_num_threads() == 2
        assert fnn.get_num_threads() == 5
    finally:
        fnn.set_num_threads(before)
    with pytest.raises(ValueError, match="^set_num_threads: n is 0 but an integer from 1 to 1024 was expected$"):
        fnn.set_num_threads(0)
    with pytest.raises(TypeError, match="^set_num_threads: n is 'a' but an integer was expected$"):
        fnn.set_num_threads("a")


def test_use_isa_refuses_others():
    with pytest.raises(ValueError, match="_use_isa: 'mmx' is unknown or unsupported"):
        core._use_isa("mmx")


# ----------------------------------------------------------------------------------------------------------- command line


def fastnn(folder, *arguments, **environment):
    return run(folder, sys.executable, "-m", "fastnn", *arguments, **environment)


def test_train_digits(tmp_path):
    done = fastnn(
        tmp_path, "train", "digits", "--epochs", "3", "--hidden", "32,16", "--seed", "4", "--out", "m.safetensors"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for line in ("split              1438 rows to train, 359 held out, stratified", "seed               4", "held-out accuracy  0.",
                 "rows/s", "times faster", "saved              m.safetensors"):  # fmt: skip
        assert line in done.stdout
    model = fnn.load(tmp_path / "m.safetensors")
    assert [p.shape for _, p in model.named_parameters()] == [(32, 64), (32,), (16, 32), (16,), (10, 16), (10,)]


def test_train_digits_json_and_accuracy(tmp_path):
    done = fastnn(tmp_path, "train", "digits", "--json")
    result = json.loads(done.stdout)
    assert result["held_out_accuracy"] >= 0.96
    assert result["times_faster_than_numpy"] > 0
    assert (tmp_path / "digits.safetensors").exists()
    again = json.loads(fastnn(tmp_path, "train", "digits", "--json").stdout)
    assert again["held_out_accuracy"] == result["held_out_accuracy"]


def test_the_held_out_split_is_fixed_and_stratified():
    from fastnn.cli import _stratified_split

    y = fnn.datasets.load_digits()[1]
    kept, held_out = _stratified_split(y)
    assert sorted([*kept, *held_out]) == list(range(1797))
    shares = np.bincount(y[held_out]) / np.bincount(y)
    assert (np.abs(shares - 0.2) < 0.005).all()
    np.testing.assert_array_equal(_stratified_split(y)[1], held_out)


def test_show_versions(capsys):
    fnn.show_versions()
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["fastnn"] == fnn.__version__
    assert lines["numpy"] == np.__version__
    assert lines["isa"] == fnn.isa()
    assert lines["available_isas"] == ", ".join(fnn.available_isas())
    assert lines["threads"] == str(fnn.get_num_threads())
    assert len(lines) == 7


def test_info(tmp_path):
    plain, data = fastnn(tmp_path, "info"), json.loads(fastnn(tmp_path, "info", "--json").stdout)
    assert data["fastnn"] == fnn.__version__
    assert data["available_isas"] == core.available_isas()
    assert fnn.__version__ in plain.stdout


def test_bench(tmp_path):
    done = fastnn(tmp_path, "bench", "--only", "relu", "--seconds", "0.01")
    assert done.returncode == 0, done.stderr
    heads = [f"{case.group} {case.name} " for case in benchmarks.cases() if "relu" in case.name]
    assert [line.startswith(tuple(heads)) for line in done.stdout.splitlines()].count(True) == len(heads)
    results = json.loads(fastnn(tmp_path, "bench", "--only", "step 32", "--seconds", "0.01", "--json").stdout)[
        "results"
    ]
    assert results[0]["unit"] == "GFLOP/s"
    assert results[0]["ratio"] == pytest.approx(results[0]["reference_seconds"] / results[0]["fastnn_seconds"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "missing.csv"], "fastnn train: missing.csv: No such file; a CSV file, or digits, was expected"),
        (["train", "digits", "--target", "y"], "fastnn train: --target is for tables, not for digits"),
        (["train", "digits", "--lr", "-1"], "fastnn train: argument --lr: -1 is not positive"),
        (["train", "digits", "--lr", "x"], "fastnn train: argument --lr: invalid float value: 'x'"),
        (["train", "digits", "--lr", "1e30"], "fastnn train: fit, epoch 1: the loss is "),
        (["train", "digits", "--hidden", "8,-1"], "fastnn train: argument --hidden: -1 is not positive"),
        (["train", "digits", "--seed", "-1"], "fastnn train: argument --seed: -1 is negative"),
        (["train", "digits", "--epochs", "1", "--out", "no/such/folder/m"], "fastnn train: no/such/folder"),
        (["train"], "fastnn train: the following arguments are required: data"),
        (["info", "--x"], "fastnn: unrecognized arguments: --x"),
        (["bench", "--only", "nothing at all"], "fastnn bench: no case contains 'nothing at all'"),
        (["trian"], "fastnn: argument train | predict | evaluate | bench | info | verify: invalid choice: 'trian'"),
        (["train", "digits", "--seed", str(2**64)], f"fastnn train: argument --seed: {2**64} is not below 2^64"),
        (["train", "digits", "--hidden", "1000000000000"], "fastnn train: "),
        (["train", "digits", "--out", ""], "fastnn train: --out needs the name of a file"),
        (["train", "digits", "--out", "/"], "fastnn train: /: Is a directory"),
        (["train", "digits", "--out", "absent/"], "fastnn train: absent/: Is a directory"),
        (["train", "digits", "--out", "m" * 300], f"fastnn train: {'m' * 300}: File name too long"),
        (["train", "digits", "--out", "/dev/null"], "fastnn train: /dev/null is a device or a pipe, not a file"),
    ],
)
def test_errors_of_use_are_one_line(tmp_path, arguments, message):
    done = fastnn(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(message)


def test_an_output_that_may_not_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    from fastnn import cli

    file = tmp_path / "m"
    file.write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "absent" / "m")
    with pytest.raises(FileNotFoundError):
        cli._check_output(str(tmp_path / "link"))
    cli._check_output(str(file))
    assert sorted(os.listdir(tmp_path)) == ["link", "m"]
    assert file.read_bytes() == b"kept"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for a user who is not root
    with pytest.raises(PermissionError):
        cli._check_output(str(file))

    def on_a_read_only_file_system(**options):
        raise OSError(errno.EROFS, "Read-only file system", "some other name")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", on_a_read_only_file_system)
    with pytest.raises(OSError, match=f"Read-only file system: '{tmp_path / 'new'}'"):
        cli._check_output(str(tmp_path / "new"))


def test_help_and_version(tmp_path):
    bare, asked = fastnn(tmp_path), fastnn(tmp_path, "--help")
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == asked.stdout
    assert bare.stdout.startswith("usage: fastnn")
    assert fastnn(tmp_path, "--version").stdout == f"fastnn {fnn.__version__}\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_command_line_on_closed_and_full_outputs(tmp_path, unbuffered):
    def status(command):
        done = run(tmp_path, "sh", "-c", f"{sys.executable} -m fastnn {command}", PYTHONUNBUFFERED=unbuffered)
        return done.returncode, done.stdout, done.stderr

    assert status("info | true") == (0, "", ""), "the status of true, and no complaint"
    assert status("bench --only celu --seconds 0.001 | true") == (0, "", "")
    assert status("info >&-") == (0, "", "")
    assert status("info 2>&- >&-") == (0, "", "")
    assert status("train absent 2>&-") == (2, "", ""), "an error is no output"
    code, printed, _ = status("train digits --epochs 1 --hidden 4 2>&-")
    assert (code, printed.splitlines()[-1].split()) == (0, ["saved", "digits.safetensors"])
    assert status("train absent 2>&- >&-") == (2, "", "")
    if os.path.exists("/dev/full"):
        assert status("info > /dev/full") == (2, "", "fastnn info: standard output: No space left on device\n")


# ---------------------------------------------------------------------------------------------------------------- sources


def sources(*endings):
    folders = ("csrc", "fastnn", "tests", "bench")
    return [path for folder in folders for ending in endings for path in sorted((ROOT / folder).glob(f"**/*{ending}"))]


def test_the_kernels_know_no_python():
    assert not list((ROOT / "csrc").glob("**/*Python*"))
    for path in (ROOT / "csrc").iterdir():
        assert "Python.h" not in path.read_text(), path


@pytest.mark.parametrize(
    "path", sources(".py", ".pyx", ".pxi", ".pxd", ".c", ".h"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_source_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 700


@pytest.mark.parametrize("path", sources(".py"), ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 80, node.name


@pytest.mark.parametrize("path", sources(".c", ".h"), ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_and_macros_of_c_are_short(path):
    text = path.read_text()
    for body in re.findall(r"^{\n(?:.*\n)*?^}", text, re.M):
        assert body.count("\n") <= 80, body[:200]
    for macro in re.findall(
        r"^#define (?!FNN_\w+\(ROW\)).*(?:\\\n.*)*", text, re.M
    ):  # but tables, which are lists of rows
        assert macro.count("\\\n") <= 5, macro[:80]
