"""What is read and written: models, the digits, MNIST's format."""

import gzip
import json
import os
import struct
import tracemalloc

import numpy as np
import pytest

import fastnn as fnn
from fastnn import datasets, serialization


def model(dtype=np.float32):
    return fnn.Sequential(fnn.Linear(4, 6, rng=0, dtype=dtype), fnn.LeakyReLU(0.3), fnn.Dropout(0.2, seed=3), fnn.PReLU(6, dtype=dtype),
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
    description = json.dumps(serialization._describe(before))
    safetensors.save_file(tensors, tmp_path / "theirs", metadata={"architecture": description})
    np.testing.assert_array_equal(fnn.load(tmp_path / "theirs")[0].weight, before[0].weight)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m"
    fnn.save(model(), path)
    old = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        fnn.save(model(np.float64), path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m"]


def test_foreign_layers_are_not_saved(tmp_path):
    class Mine(fnn.Linear):
        pass

    with pytest.raises(
        TypeError, match=r"^save: Mine is no layer of fastnn; its state_dict\(\) can be saved by other means$"
    ):
        fnn.save(fnn.Sequential(Mine(2, 3)), tmp_path / "m")
    assert os.listdir(tmp_path) == []


def corrupt(data):
    """Yield broken versions of a file."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])

    def with_header(change):
        changed = json.loads(json.dumps(header))
        change(changed)
        text = json.dumps(changed).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    def architecture(text):
        return with_header(lambda h: h["__metadata__"].update(architecture=text))

    yield "empty", b""
    yield "short", data[:5]
    yield "length beyond the file", (2**62).to_bytes(8, "little") + data[8:]
    yield "cut", data[:-4]
    yield "no json", data[:8] + b"!" * length + data[8 + length :]
    yield "list", (2).to_bytes(8, "little") + b"[]" + data[8 + length :]
    yield "offsets", with_header(lambda h: h["0.weight"].update(data_offsets=[-4, 0]))
    yield "shape", with_header(lambda h: h["0.weight"].update(shape=[6, 5]))
    yield "negative shape", with_header(lambda h: h["0.weight"].update(shape=[-6, -4]))
    yield "huge shape", with_header(lambda h: h["0.weight"].update(shape=[2**62, 2**62]))
    yield "dtype", with_header(lambda h: h["0.weight"].update(dtype="I64"))
    yield "missing tensor", with_header(lambda h: h.pop("0.bias"))
    yield "no architecture", with_header(lambda h: h.pop("__metadata__"))
    yield "strange architecture", architecture("[1]")
    yield "no json architecture", architecture("{")
    yield "unknown class", architecture('{"class": "os.system", "config": {}}')
    yield "unknown argument", architecture('{"class": "Linear", "config": {"evil": 1}}')
    yield "huge layer", architecture('{"class": "Linear", "config": {"in_features": -1, "out_features": 2}}')


def test_broken_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "m"
    fnn.save(model(), path)
    for name, data in corrupt(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"^load: ") as caught:
            fnn.load(path)
        assert "\n" not in str(caught.value), name
        assert str(path) in str(caught.value), name
    with pytest.raises(FileNotFoundError):
        fnn.load(tmp_path / "absent")


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
