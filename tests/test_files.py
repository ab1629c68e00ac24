"""What is read and written: models, the digits, MNIST's format."""

import gzip
import json
import os
import stat
import struct
import threading
import time
import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import datasets, serialization


def model(dtype=np.float32):
    return fnn.Sequential(fnn.Linear(4, 6, rng=0, dtype=dtype), fnn.LeakyReLU(0.3), fnn.Dropout(0.2, seed=3), fnn.PReLU(6, dtype=dtype),
                          fnn.Residual(fnn.Linear(6, 6, bias=False, rng=1, dtype=dtype), fnn.Tanh()),
                          fnn.Sequential(fnn.Maxout(6, 3, pieces=3, rng=1, dtype=dtype), fnn.Softmax()))  # fmt: skip


def test_a_saved_model_comes_back(tmp_path, dtype):
    path = tmp_path / "m.safetensors"
    before = model(dtype)
    fnn.save(before, path)
    after = fnn.load(path)
    assert repr(after) == repr(before)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(dtype)
    np.testing.assert_array_equal(after(x), before(x))
    np.testing.assert_array_equal(after.vjp(x, step=1)[0], before.vjp(x, step=1)[0])
    assert after.dtype == dtype
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_arguments_that_are_infinite_come_back(tmp_path):
    fnn.save(fnn.Sequential(fnn.Hardtanh(-np.inf, 2), fnn.Hardtanh(-1, np.inf)), tmp_path / "m")
    first, second = fnn.load(tmp_path / "m").layers
    assert (first.min_val, first.max_val, second.min_val, second.max_val) == (-np.inf, 2, -1, np.inf)


def test_an_mlp_keeps_its_task(tmp_path):
    fnn.save(fnn.MLP([4, 3], task="classification", seed=0), tmp_path / "m")
    loaded = fnn.load(tmp_path / "m")
    assert type(loaded) is fnn.Sequential
    assert loaded.task == "classification"


def test_the_safetensors_package_reads_and_writes_the_same_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    before = model()
    fnn.save(before, tmp_path / "ours")
    tensors = safetensors.load_file(tmp_path / "ours")
    assert {name: value.tobytes() for name, value in tensors.items()} == {
        name: value.tobytes() for name, value in before.state_dict().items()}  # fmt: skip
    description = json.dumps(serialization.describe(before))
    safetensors.save_file(tensors, tmp_path / "theirs", metadata={"architecture": description})
    np.testing.assert_array_equal(fnn.load(tmp_path / "theirs")[0].weight, before[0].weight)


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "m"
    fnn.save(model(), path)
    old = path.read_bytes()
    monkeypatch.setattr(os, call, lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        fnn.save(model(np.float64), path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m"]


def test_saving_from_several_threads_leaves_a_whole_file(tmp_path):
    path, models = tmp_path / "m", [fnn.MLP([n, n, 2], seed=n) for n in (3, 40, 200)]
    wrong = []

    def work(mine):
        for _ in range(10):
            try:
                fnn.save(mine, path)
                loaded = fnn.load(path)
                whole = next(m for m in models if m[0].in_features == loaded[0].in_features)
                np.testing.assert_array_equal(loaded[0].weight, whole[0].weight)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=[mine]) for mine in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert os.listdir(tmp_path) == ["m"]


def test_saving_over_a_symbolic_link_replaces_what_it_points_to(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "m", tmp_path / "latest"
    link.symlink_to(os.path.join("folder", "m"))
    for seed in (0, 1):  # the link points to nothing at first
        fnn.save(fnn.Linear(2, 3, rng=seed), link)
        assert link.is_symlink()
        assert not target.is_symlink()
        np.testing.assert_array_equal(fnn.load(target).weight, fnn.Linear(2, 3, rng=seed).weight)
    assert os.listdir(tmp_path / "folder") == ["m"]
    assert sorted(os.listdir(tmp_path)) == ["folder", "latest"]


def test_modes_of_files(tmp_path):
    path = tmp_path / "m"
    before = os.umask(0o027)
    try:
        fnn.save(model(), path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o444, 0o664):
            path.chmod(mode)
            fnn.save(model(), path)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_what_is_not_a_file_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"^save: .* is a folder but the name of a file was expected$"):
        fnn.save(model(), tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"^save: .*pipe is not a regular file$"):
        fnn.save(model(), tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match=r"^save: .*: the folder .*absent does not exist$"):
        fnn.save(model(), tmp_path / "absent" / "m")
    with pytest.raises(IsADirectoryError):
        fnn.load(tmp_path)
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_is_not_a_model_is_not_saved(tmp_path):
    path, net = tmp_path / "m", fnn.MLP([4, 3], seed=0)
    for args, message in [
        ((net, 3), r"^save: path is 3 but the name of a file was expected$"),
        ((str(path), net), r"^save: model and path are swapped; call save\(model, path\)$"),
        ((fnn.Trainer(net, "mse"), path), r"^save: model is a Trainer; pass its model, such as trainer\.model$"),
        ((net.state_dict(), path), "^save: model is dict but a layer, such as Sequential, was expected$"),
    ]:
        with pytest.raises(TypeError, match=message):
            fnn.save(*args)
    with pytest.raises(TypeError, match="^load: path is None but the name of a file was expected$"):
        fnn.load(None)
    assert os.listdir(tmp_path) == []


def test_a_relative_path_is_saved_where_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fnn.save(model(), b"m")
    assert os.listdir(tmp_path) == ["m"]
    assert repr(fnn.load("m")) == repr(model())


SPECIFICATIONS = [
    fnn.SGD(lr=0.5, momentum=0.9),
    fnn.Adam(betas=(0.8, 0.99)),
    fnn.MSE(),
    fnn.CrossEntropy([1, 2.5], label_smoothing=0.1),
]


@pytest.mark.parametrize("spec", SPECIFICATIONS, ids=repr)
def test_specifications_are_described_and_constructed(spec):
    again = serialization.construct(json.loads(json.dumps(serialization.describe(spec))))
    assert type(again) is type(spec)
    assert again == spec


def test_a_constructed_layer_is_blank_until_it_is_loaded():
    net = fnn.Sequential(fnn.Linear(4, 6, rng=0), fnn.PReLU(6, init=0.1))
    again = serialization.construct(json.loads(json.dumps(serialization.describe(net))))
    assert repr(again) == repr(net)
    assert {name: value.any() for name, value in again.named_parameters()} == dict.fromkeys(net.state_dict(), False)
    again.load_state_dict(net.state_dict())
    for name, value in again.named_parameters():
        np.testing.assert_array_equal(value, net.state_dict()[name])
        assert value.flags.writeable
        assert value.flags.aligned


def test_a_row_never_changes():
    row = fnn.ReLU().lower((2, 3))[0]
    with pytest.raises(FrozenInstanceError):
        row.kind = "gelu"
    assert row == fnn.ReLU().lower((2, 3))[0]


def test_names_of_described_classes_are_unique():
    classes = [
        *(getattr(fnn.layers, n) for n in fnn.layers.__all__ if n not in ("Layer", "MLP")),
        *fnn.losses.LOSSES.values(),
        *fnn.optim.OPTIMIZERS.values(),
        *fnn.schedules.SCHEDULES.values(),
    ]
    assert len({cls.__name__ for cls in classes}) == len(set(classes))


def test_foreign_layers_are_not_saved(tmp_path):
    class Mine(fnn.Linear):
        pass

    with pytest.raises(
        TypeError, match=r"^save: Mine is no layer of fastnn; its state_dict\(\) can be saved by other means$"
    ):
        fnn.save(fnn.Sequential(Mine(2, 3)), tmp_path / "m")
    assert os.listdir(tmp_path) == []


# Architectures that no model has.
LAYER = '{"class": "%s", "config": {%s}}'
WRONG_LAYERS = [
    ("Linear", '"in_features": -1, "out_features": 2'),
    ("Linear", '"in_features": true, "out_features": 2'),
    ("Linear", '"in_features": 2.0, "out_features": 2'),
    ("Linear", '"in_features": 1000000000, "out_features": 1000000000'),
    ("Linear", '"in_features": 10000000000000000000000, "out_features": 2'),
    ("Linear", '"in_features": 2, "out_features": 2, "dtype": "int8"'),
    ("Linear", '"in_features": 2, "out_features": 2, "dtype": {}'),
    ("Linear", '"in_features": 2, "out_features": 2, "dtype": "float,32"'),
    ("Linear", '"in_features": 2, "out_features": 2, "dtype": ",loat32"'),
    ("Linear", '"in_features": 2, "out_features": 2, "dtype": null'),
    ("Linear", '"in_features": 2, "out_features": 2, "rng": 0'),
    ("Linear", '"in_features": 2, "out_features": 2, "init": null'),
    ("Linear", '"in_features": 2, "out_features": 2, "bias": "no"'),
    ("Linear", '"in_features": 2, "in_features": 4, "out_features": 6'),
    ("Linear", '"in_features": 2'),
    ("Linear", '"evil": 1'),
    ("Maxout", '"in_features": 1000000, "out_features": 1000000, "pieces": 1000'),
    ("PReLU", '"num_parameters": 1000000000'),
    ("LeakyReLU", '"negative_slope": NaN'),
    ("LeakyReLU", '"negative_slope": "0.1"'),
    ("LeakyReLU", '"negative_slope": true'),
    ("Dropout", '"p": 2'),
    ("Dropout", '"p": null'),
    ("Dropout", '"p": 0.5, "seed": -1'),
    ("Dropout", '"p": 0.5, "seed": 1e3'),
    ("Softmax", '"axis": [1]'),
    ("Softmax", '"axis": {"class": []}'),
    *[(name, "") for name in ("Adam", "MSE", "Layer", "Sequential", "Residual", "MLP", "os.system")],
]
WRONG_TASKS = [('"dance"', ""), ("[]", ""), ("null", '["x"]'), ("null", "{}"), ("null", LAYER % ("Adam", ""))]
WRONG_ARCHITECTURES = [
    *[LAYER % pair for pair in WRONG_LAYERS],
    *[f'{{"class": "Sequential", "task": {task}, "layers": [{inner}]}}' for task, inner in WRONG_TASKS],
    "[1]",
    "{",
    '{"class": "Sequential", "task": null, "layers": {}}',
    '{"class": "Residual", "layers": []}',
    '{"class": "Softmax", "config": []}',
    '{"class": ["Linear"], "config": {}}',
    "[" * 100_000,
    '{"class": "Residual", "layers": [' * 900 + LAYER % ("Tanh", "") + "]}" * 900,
]


def corrupt(data):
    """Yield broken versions of a file."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(header).encode()

    def with_text(text):
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    def with_header(change):
        changed = json.loads(json.dumps(header))
        change(changed)
        return with_text(json.dumps(changed).encode())

    yield "empty", b""
    yield "short", data[:5]
    yield "length beyond the file", (2**62).to_bytes(8, "little") + data[8:]
    yield "cut", data[:-4]
    yield "no json", data[:8] + b"!" * length + data[8 + length :]
    yield "utf-16", with_text(text.decode().encode("utf-16"))
    yield "nested header", with_text(b'{"a":' * 100_000)
    yield "duplicate", with_text(text[:-1] + b', "0.bias": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}}')
    yield "overlap", with_header(lambda h: h["0.bias"].update(data_offsets=[0, 24]))
    yield "bytes after the tensors", data + b"PK\3\4"
    yield "bytes before the tensors", with_header(lambda h: [e.update(data_offsets=[o + 4 for o in e["data_offsets"]])
                                                             for n, e in h.items() if n != "__metadata__"]) + b"1234"  # fmt: skip
    yield "a hole between tensors", with_header(lambda h: h.pop("0.bias"))
    for value in ([], {}, "architecture", ["architecture"], {"architecture": 5}, {"architecture": "null"}, None, True):
        yield f"metadata {value!r}", with_header(lambda h, value=value: h.update(__metadata__=value))
    good = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    for value in (None, 5, [], {}, good | {"x": 1}, good | {"shape": None}, good | {"shape": [0, True]}, good | {"shape": [0.0]},
                  good | {"shape": [0, 2**70]}, good | {"shape": [0] * 100}, good | {"data_offsets": [0]}, good | {"dtype": ["F32"]},
                  good | {"data_offsets": [False, False]}, good | {"data_offsets": [0.0, 0.0]}, good):  # fmt: skip
        yield f"entry {value!r}"[:60], with_header(lambda h, value=value: h.update(x=value))
    for number in (b"NaN", b"9" * 5000, b"1e400", b"-Infinity"):
        yield f"shape {number[:9]}", with_text(text.replace(b"[6, 4]", b"[6, " + number + b"]"))
    yield "list", (2).to_bytes(8, "little") + b"[]" + data[8 + length :]
    yield "offsets", with_header(lambda h: h["0.weight"].update(data_offsets=[-4, 0]))
    yield "shape", with_header(lambda h: h["0.weight"].update(shape=[6, 5]))
    yield "negative shape", with_header(lambda h: h["0.weight"].update(shape=[-6, -4]))
    yield "huge shape", with_header(lambda h: h["0.weight"].update(shape=[2**62, 2**62]))
    yield "dtype", with_header(lambda h: h["0.weight"].update(dtype="I64"))
    yield "missing tensor", with_header(lambda h: h.pop("0.bias"))
    yield "no architecture", with_header(lambda h: h.pop("__metadata__"))
    for text in WRONG_ARCHITECTURES:
        yield text[:80], with_header(lambda h, text=text: h["__metadata__"].update(architecture=text))


def refused_or_loaded(path):
    """Return the error's message, None for success; anything else fails, as does an allocation beyond 100 MB."""
    tracemalloc.start()
    try:
        fnn.load(path)
    except ValueError as error:
        return str(error)
    else:
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6


def test_broken_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "m"
    fnn.save(model(), path)
    for name, data in corrupt(path.read_bytes()):
        path.write_bytes(data)
        message = refused_or_loaded(path)
        assert message, name
        assert message.startswith(f"load: {path}: "), name
        assert "\n" not in message, name
        assert len(message) < 600, name
    with pytest.raises(FileNotFoundError):
        fnn.load(tmp_path / "absent")


def test_a_header_has_the_length_it_says_and_no_more_than_the_format_allows(tmp_path, monkeypatch):
    path = tmp_path / "m"
    message = (
        f"load: {path}: not a safetensors file of float32, float64 or int64: the header's length does not fit the file"
    )
    fnn.save(model(), path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    path.write_bytes(data[: 8 + length - 1])
    refused(lambda: fnn.load(path), ValueError, message)
    path.write_bytes(data)
    monkeypatch.setattr(serialization, "_MAX_HEADER", length)
    fnn.load(path)
    monkeypatch.setattr(serialization, "_MAX_HEADER", length - 1)
    refused(lambda: fnn.load(path), ValueError, message)


def test_the_smallest_header_is_a_table_of_nothing(tmp_path):
    path = tmp_path / "m"
    path.write_bytes((2).to_bytes(8, "little") + b"{}")
    message = f"load: {path}: the file has tensors but no fastnn architecture; use load_state_dict"
    refused(lambda: fnn.load(path), ValueError, message)


def test_a_long_message_is_cut():
    assert serialization._line(ValueError("a " * 150)) == ("a " * 150).rstrip()
    assert serialization._line(ValueError("b" * 301)) == "b" * 300 + "..."


def test_files_with_flipped_bytes_are_loaded_or_refused(tmp_path):
    """``make fuzz`` runs 10,000 of them and bounds their time too."""
    flips = int(os.environ.get("FASTNN_FLIPS", 400))
    path, rng, loaded = tmp_path / "m", np.random.default_rng(flips), 0
    fnn.save(model(), path)
    good = path.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    for _ in range(flips):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            end = header if rng.random() < 0.8 else len(data)
            data[rng.integers(end)] = (
                rng.integers(256) if rng.random() < 0.5 else rng.choice(list(b'0123456789[]{},:"-+.eE'))
            )
        path.write_bytes(data)
        start = time.monotonic()
        loaded += refused_or_loaded(path) is None
        if "FASTNN_FLIPS" in os.environ:
            assert time.monotonic() - start < 1
    assert 0 < loaded < flips


def test_loading_draws_no_random_numbers(tmp_path, monkeypatch):
    fnn.save(model(), tmp_path / "m")
    monkeypatch.setattr(np.random, "default_rng", None)
    fnn.load(tmp_path / "m")


def test_the_digits_are_those_of_scikit_learn():
    x, y = datasets.load_digits()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)
    assert (x.min(), x.max(), y.min(), y.max()) == (0, 16, 0, 9)
    assert x.sum() == 561718
    sklearn = pytest.importorskip("sklearn.datasets")
    want = sklearn.load_digits()
    np.testing.assert_array_equal(x, want.data)
    np.testing.assert_array_equal(y, want.target)


IDX = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def idx_bytes(x):
    code = {np.dtype(name): code for code, name in IDX.items()}[x.dtype]
    return struct.pack(f">BBBB{x.ndim}I", 0, 0, code, x.ndim, *x.shape) + x.astype(x.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("zipped", [False, True])
def test_load_idx(tmp_path, zipped):
    for name in IDX.values():
        for shape in ((7,), (3, 4, 5), (0, 2), ()):
            x = np.asarray(np.random.default_rng(0).random(shape) * 100).astype(name)
            data = idx_bytes(x)
            (tmp_path / "x").write_bytes(gzip.compress(data) if zipped else data)
            got = datasets.load_idx(tmp_path / "x")
            assert got.dtype == np.dtype(name)
            np.testing.assert_array_equal(got, x)


def test_load_idx_refuses_other_files(tmp_path):
    path = tmp_path / "x"
    good = idx_bytes(np.zeros((2, 3), np.uint8))
    for data in (
        b"",
        b"\0\0",
        b"PNG file",
        b"\0\0\x07\1\0\0\0\0",
        good[:-1],
        good + b"\0",
        good[:6],
        gzip.compress(good)[:-9],
        b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0",
        b"\0\0\x08\4" + b"\0" * 4 + b"\xff" * 12,
        b"\0\0\x0e\3" + b"\xff" * 12,
        gzip.compress(b"\0\0\x0e\3" + b"\xff" * 12),
        gzip.compress(gzip.compress(good)),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"^load_idx: ") as caught:
            datasets.load_idx(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_flipped_bytes_of_an_idx_file_give_an_array_or_a_value_error_in_little_memory(tmp_path, zipped):
    rng = np.random.default_rng(0)
    good = idx_bytes(rng.integers(0, 99, (20, 30)).astype(np.int16))
    good = gzip.compress(good, mtime=0) if zipped else good
    whole = [(position, 0xFF) for position in range(len(good))]
    random = [(int(rng.integers(len(good))), int(rng.integers(1, 256))) for _ in range(2000)]
    path, errors = tmp_path / "x", []
    path.write_bytes(good)
    file = os.open(path, os.O_WRONLY)  # bytes change in place: a new file each time would wait for the disk
    tracemalloc.start()
    try:
        for position, flipped in whole + random:
            os.pwrite(file, bytes([good[position] ^ flipped]), position)
            try:
                assert isinstance(datasets.load_idx(path), np.ndarray)
            except ValueError as error:
                errors.append(str(error))
            os.pwrite(file, good[position : position + 1], position)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
        os.close(file)
    assert len(errors) > (1000 if zipped else 10)
    for error in errors:
        assert error.startswith(f"load_idx: {path}: ")
        assert "\n" not in error


def test_a_gzip_file_that_holds_more_than_its_header_says_is_not_unpacked(tmp_path):
    (tmp_path / "x").write_bytes(gzip.compress(b"\0\0\x08\1\0\0\0\5" + bytes(30_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"takes 5 bytes but the file holds more$"):
            datasets.load_idx(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", ["-idx{}-ubyte", ".idx{}-ubyte.gz"])
def test_load_mnist(tmp_path, ending):
    rng = np.random.default_rng(0)
    want = []
    for part, n in (("train", 20), ("t10k", 5)):
        x, y = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8), rng.integers(0, 10, n).astype(np.uint8)
        want.append((x, y))
        for name, array, ndim in (("images", x, 3), ("labels", y, 1)):
            data = idx_bytes(array)
            file = tmp_path / (f"{part}-{name}" + ending.format(ndim))
            file.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    for got, expected in zip(datasets.load_mnist(tmp_path), want, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])
        assert got[1].dtype == np.int64
    file.write_bytes(gzip.compress(idx_bytes(np.zeros(4, np.uint8))))
    with pytest.raises(ValueError, match="t10k has 5 images but 4 labels"):
        datasets.load_mnist(tmp_path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="holds none of t10k-labels-idx1-ubyte"):
        datasets.load_mnist(tmp_path)


@pytest.mark.parametrize("beside", [True, False])
def test_load_mnist_from_the_copy_whose_folders_have_the_names_of_the_files(tmp_path, beside):
    want = {
        "images-idx3": np.arange(3 * 28 * 28).reshape(3, 28, 28).astype(np.uint8),
        "labels-idx1": np.array([3, 1, 2], np.uint8),
    }
    for part in ("train", "t10k"):
        for kind, array in want.items():
            folder = tmp_path / f"{part}-{kind}-ubyte"
            folder.mkdir()
            file = tmp_path / f"{part}-{kind.replace('-', '.')}-ubyte" if beside else folder / folder.name
            file.write_bytes(idx_bytes(array))
    for x, y in datasets.load_mnist(tmp_path):
        np.testing.assert_array_equal(x, want["images-idx3"])
        np.testing.assert_array_equal(y, want["labels-idx1"])


def test_load_mnist_refuses_what_is_no_images_and_labels(tmp_path):
    images, labels = np.zeros((2, 3, 4), np.uint8), np.zeros(2, np.uint8)
    for x, y in (
        (images[0], labels),
        (images, labels[0]),
        (images, labels[:, None]),
        (images, labels.astype(np.float32)),
    ):
        for part in ("train", "t10k"):
            (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(x))
            (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(np.asarray(y)))
        with pytest.raises(
            ValueError, match=r"^load_mnist: .* but \(n, height, width\) and integers \(n,\) were expected$"
        ):
            datasets.load_mnist(tmp_path)
