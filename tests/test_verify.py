"""The certificate of bits: it holds on this machine, covers every function, and one ulp anywhere breaks it."""

import json
import re

import numpy as np
import pytest
from calls import FUNCTIONS

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import cli, verify
from fastnn import functional as F

PROMISED = [isa for isa in core.available_isas() if isa != "portable"]
needs_fma = pytest.mark.skipif(not PROMISED, reason="no ISA with multiply-add here")


def check(name):
    return next(c for c in verify.checks() if c.name == name)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """With few checks: return the published content of those, and a function that publishes another in its place."""
    few = [check(name) for name in ("elu float32", "elu float64", "softmax float32", "training sgd relu")]
    monkeypatch.setattr(verify, "checks", lambda: few)

    def publish(content):
        path = tmp_path / "bits.json"
        path.write_text(json.dumps(content))
        monkeypatch.setattr(verify, "PUBLISHED", path)
        return path

    content = json.loads(verify.PUBLISHED.read_text())
    content["hashes"] = {c.name: content["hashes"][c.name] for c in few}
    publish(content)
    return content, publish


def test_every_isa_of_this_machine_has_the_published_bits():
    result = verify.verify()
    assert verify.succeeded(result), "\n".join(verify.describe(result))
    assert list(result["different"]) == PROMISED
    assert result["bits"] == fnn.BITS == 1


def test_every_function_and_every_row_has_a_check():
    names = {c.name for c in verify.checks()}
    assert len(names) == len(verify.checks())
    functions = {re.sub("_with_grad$", "", name) for name in FUNCTIONS} - {"activations"}
    assert {name.split()[0] for name in names} >= functions
    for name in functions:
        assert {f"{name} float32", f"{name} float64"} <= names


def test_the_file_is_sorted_one_line_a_name():
    lines = verify.PUBLISHED.read_text().splitlines()
    named = [line for line in lines if re.fullmatch(r'"[a-z0-9_ ]+": "[0-9a-f]{16}",?', line)]
    assert len(named) == len(verify.checks()) == len(lines) - 5
    assert named == sorted(named)


@needs_fma
@pytest.mark.parametrize("function", ["gelu", "softmax", "matmul", "huber_loss_with_grad", "dropout"])
def test_one_ulp_in_one_element_is_named(monkeypatch, function, capsys):
    original = getattr(F, function)

    def off_by_one_ulp(*arguments, **keywords):
        result = original(*arguments, **keywords)
        array = result[1] if isinstance(result, tuple) else result
        if array.size > 100:
            array.flat[100] = np.nextafter(array.flat[100], np.inf, dtype=array.dtype)
        return result

    monkeypatch.setattr(F, function, off_by_one_ulp)
    names = [f"{function.removesuffix('_with_grad')} {dtype}" for dtype in ("float32", "float64")]
    result = verify.verify([check(name) for name in [*names, "relu float32"]])
    assert result["different"] == dict.fromkeys(PROMISED, names)
    assert not verify.succeeded(result)
    lines = verify.describe(result)
    assert lines[: len(PROMISED) * 2] == [f"{name} differs on {isa}" for isa in PROMISED for name in names]
    assert f"bits 1: 1 of 3 equal on {', '.join(PROMISED)}" in lines


@needs_fma
def test_the_command_prints_what_is_equal_and_exits_with_1_where_a_hash_differs(elsewhere, capsys):
    content, publish = elsewhere
    cli.main(["verify"])
    assert capsys.readouterr().out.splitlines() == [
        f"bits 1: 4 of 4 equal on {', '.join(PROMISED)}",
        f"portable: 4 of 4 within tolerance of {PROMISED[0]}",
    ]
    content["hashes"]["elu float64"] = "0123456789abcdef"
    publish(content)
    with pytest.raises(SystemExit) as caught:
        cli.main(["verify"])
    assert caught.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"elu float64 differs on {PROMISED[0]}"
    assert f"bits 1: 3 of 4 equal on {', '.join(PROMISED)}" in lines
    with pytest.raises(SystemExit):
        cli.main(["verify", "--json"])
    assert json.loads(capsys.readouterr().out)["different"] == dict.fromkeys(PROMISED, ["elu float64"])


@needs_fma
def test_names_without_a_hash_and_hashes_without_a_check_are_named(elsewhere):
    content, publish = elsewhere
    content["hashes"]["gone float32"] = content["hashes"].pop("elu float64")
    publish(content)
    result = verify.verify()
    assert (result["unpublished"], result["unchecked"]) == (["elu float64"], ["gone float32"])
    assert not verify.succeeded(result)
    assert verify.describe(result)[:2] == [
        "elu float64 has no published hash",
        "gone float32 is published but no check",
    ]


@needs_fma
def test_portable_is_compared_by_tolerance():
    def run(off):
        return lambda: [np.ones(3, np.float32) + np.float32(off * (core.isa() == "portable"))]

    checks = [verify.Check(name, run(off), 8) for name, off in (("near", 2.0**-21), ("far", 2.0**-19))]
    result = verify.verify(checks)
    assert result["beyond_tolerance"] == ["far"]
    assert not verify.succeeded(result)
    assert f"far on portable is not within tolerance of {PROMISED[0]}" in verify.describe(result)
    assert verify.describe(result)[-1] == f"portable: 1 of 2 within tolerance of {PROMISED[0]}"


def test_arrays_are_close_where_special_values_are_the_same():
    one = [np.array([1, np.nan, np.inf, -np.inf, 1e30], np.float32)]
    assert verify.is_close(one, one, 1)
    for place, value in ((0, np.nan), (1, 1), (2, -np.inf), (3, 1e38), (4, 1.001e30), (0, 1.001)):
        other = one[0].copy()
        other[place] = value
        assert not verify.is_close([other], one, 64)
        assert not verify.is_close(one, [other], 64)
    assert not verify.is_close([np.array([1, 2])], [np.array([1, 3])], 64)


def test_a_digest_covers_each_bit_but_those_of_a_nan(dtype):
    x = np.array([0, 1, np.nan, -np.inf], dtype)
    assert verify.digest([x]) == verify.digest([x.copy()])
    nan = x.copy()
    nan.view(f"u{x.itemsize}")[2] |= 5
    nan[2] = -nan[2]
    assert nan.tobytes() != x.tobytes()
    assert verify.digest([nan]) == verify.digest([x])
    others = [[x, x], [x.reshape(2, 2)], [x.astype(np.float64 if dtype is np.float32 else np.float32)], []]
    for place, value in ((0, -0.0), (1, np.nextafter(dtype(1), dtype(2))), (2, 0), (3, np.inf)):
        others.append([x.copy()])
        others[-1][0][place] = value
    assert len({verify.digest(arrays) for arrays in [[x], *others]}) == 1 + len(others)


def test_a_training_that_depends_on_its_threads_has_other_bits(monkeypatch):
    training = check("training sgd relu")
    before, bound = verify.digest(training.run()), core.get_num_threads()
    original = verify._train
    monkeypatch.setattr(verify, "_train", lambda *a: [r + (core.get_num_threads() == 3) for r in original(*a)])
    assert verify.digest(training.run()) != before
    assert core.get_num_threads() == bound


def test_the_inputs_have_all_digits(dtype):
    x = verify._numbers(dtype, 1000)
    digits = np.finfo(dtype).nmant + 1
    assert x.dtype == dtype
    assert -4 <= x.min() < -3.9 < 3.9 < x.max() < 4
    scaled = np.ldexp(x, digits - 3)
    assert (scaled == np.round(scaled)).all()
    assert (scaled % 2 == 1).any()
    assert 0 < verify._positive(dtype, 1000).min() < 0.14 < 0.86 < verify._positive(dtype, 1000).max() < 1
    values = verify._everything(dtype)
    assert np.isnan(values).any()
    assert (values == np.inf).any()
    assert (np.abs(values[values != 0]) < np.finfo(dtype).smallest_normal).any()


@needs_fma
def test_writing_extends_the_file_and_keeps_what_is_published(elsewhere, monkeypatch):
    content, publish = elsewhere
    published = content | {"hashes": {k: v for k, v in content["hashes"].items() if k != "elu float64"}}
    path = publish(published)
    verify.write(path)
    assert json.loads(path.read_text()) == content
    published["hashes"]["elu float32"] = "0123456789abcdef"
    path = publish(published)
    before = path.read_text()
    with pytest.raises(
        ValueError, match="write: other bits than those published as version 1: elu float32; raise fastnn.BITS"
    ):
        verify.write(path)
    assert path.read_text() == before
    monkeypatch.setattr(fnn, "BITS", 2)
    verify.write(path)
    assert json.loads(path.read_text()) == content | {"bits": 2}


def test_nothing_is_written_where_isas_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(core, "available_isas", lambda: ["avx2", "avx512", "portable"])
    monkeypatch.setattr(verify, "on_isa", lambda isa, run: [np.array(len(isa))])
    with pytest.raises(ValueError, match="write: .* has no one hash on the ISAs of this machine"):
        verify.write(tmp_path / "bits.json")
    assert not list(tmp_path.iterdir())


def test_without_multiply_add_nothing_is_promised(monkeypatch):
    monkeypatch.setattr(core, "available_isas", lambda: ["portable"])
    result = verify.verify([check("relu float32")])
    assert verify.succeeded(result)
    assert verify.describe(result) == ["bits 1: no ISA with multiply-add here; portable is outside the promise"]
