"""The build: what compilers are told, when objects are made again, and the one place of the version."""

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import emulate_avx512
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def build():
    """Setup.py as a module."""
    pytest.importorskip("Cython")
    spec = importlib.util.spec_from_file_location("fastnn_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def compiler():
    from setuptools import Distribution
    from setuptools.command.build_ext import new_compiler

    Distribution()  # setuptools puts its own distutils in place
    compiler = new_compiler()
    compiler.set_executables(compiler_so="cc")
    return compiler


def test_the_version_stands_in_pyproject_alone():
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert fnn.__version__ == declared


def test_a_launcher_before_the_compiler_is_no_compiler(build):
    macros = build.target_macros(["env", "LANG=C", "cc"])
    assert macros == build.target_macros(["cc"])
    assert macros["__STDC__"] == "1"


def sources(build, macros, monkeypatch):
    monkeypatch.chdir(ROOT)
    return {Path(source).name for source, _, _ in build.units("core.c", "0", macros)}


def test_the_target_chooses_the_isas_and_not_the_machine_that_builds(build, monkeypatch):
    everywhere = {"core.c", "dispatch.c", "pool.c", "isa_portable.c"}
    assert sources(build, {"__x86_64__": "1"}, monkeypatch) >= everywhere | {"isa_avx2.c"}
    assert sources(build, {"__aarch64__": "1"}, monkeypatch) >= everywhere
    assert "isa_avx2.c" not in sources(build, {"__aarch64__": "1"}, monkeypatch)


def test_flags_of_one_compiler_are_not_given_to_another(build):
    def given(macros):
        return {flag for _, flags, _ in build.units("core.c", "0", macros) for flag in flags}

    of_gcc = {flag for name, flags in vars(build).items() if name.startswith("GCC_") for flag in flags}
    x86 = {"__x86_64__": "1"}
    assert given({"__GNUC__": "12", **x86}) - given({"__GNUC__": "4", "__clang__": "1", **x86}) == of_gcc


@pytest.mark.parametrize(
    "wish", ["-ffast-math", "-Ofast", "-ffinite-math-only", "-fassociative-math -fno-signed-zeros -fno-trapping-math", "-funsafe-math-optimizations",
             "-freciprocal-math", "-ffp-contract=fast"])  # fmt: skip
def test_no_flag_of_the_user_changes_the_arithmetic(build, wish, tmp_path):
    source = tmp_path / "sum.c"
    source.write_text(
        """
        float sum(const float *x, int n) { float s = 0; for (int i = 0; i < n; i++) s += x[i]; return s; }
        float share(float x, float y) { return x / y + x / 3; }
        float fused(float x, float y, float z) { return x * y + z; }
        int finite(float x) { return x == x && x - x == 0; }
        float signed_zero(float x) { return x + 0.0f; }
        """
    )

    def assembly(*flags):
        command = ["cc", *flags, "-mfma"] if "x86_64" in os.uname().machine else ["cc", *flags]
        command += [*build.KERNEL_FLAGS, *build.ARITHMETIC_FLAGS, "-S", "-o", "-", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return re.sub(r"#.*", "", done.stdout)

    assert assembly(*wish.split()) == assembly()


def test_objects_are_made_again_when_anything_they_are_made_of_changes(build, compiler, tmp_path, monkeypatch):
    from setuptools import Distribution

    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        Path(folder).mkdir()
        Path(folder, "size.h").write_text("enum { SIZE = 1 };\n")
    Path("unit.c").write_text('#include "size.h"\nint size = SIZE;\n')
    command = build.BuildExtension(Distribution())
    command.build_temp, command.compiler, command.force = "temp", compiler, False

    def made_again(include="one", macros=(), version="1", flags=("-O1",), tag="extension"):
        made = []
        with monkeypatch.context() as patch:
            compile_ = compiler.compile
            patch.setattr(compiler, "compile", lambda *a, **k: (made.append(a), compile_(*a, **k)))
            ext = SimpleNamespace(include_dirs=[include], define_macros=list(macros))
            command.compile_unit(ext, version, "unit.c", list(flags), tag)
        return bool(made)

    assert made_again()
    assert not made_again()
    for change in ({"include": "two"}, {"macros": [("N", "1")]}, {"version": "2"}, {"flags": ["-O0"]}):
        assert made_again(**change), change
        assert not made_again(**change), change
    Path("csrc").mkdir()
    Path("csrc", "size.h").write_text("enum { SIZE = 1 };\n")
    assert made_again(tag="common")
    assert not made_again(tag="common", include="two", macros=[("N", "1")]), "kernels know no NumPy"
    assert made_again()
    header = Path("one", "size.h")
    later = header.stat().st_mtime + 10
    os.utime(header, (later, later))
    assert made_again()


def test_the_source_distribution_holds_every_file(build, tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert set(listed) <= held


def test_every_package_is_installed(build, monkeypatch):
    from setuptools import Distribution

    monkeypatch.chdir(ROOT)
    distribution = Distribution({"src_root": str(ROOT)})
    distribution.parse_config_files([str(ROOT / "pyproject.toml")])
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "fastnn").rglob("*") if path.suffix in (".py", ".npz")}
    assert {".".join(folder.parts) for folder in folders} <= set(distribution.packages)
    assert "fastnn.core" not in distribution.packages


def test_the_emulation_names_an_intrinsic_that_it_does_not_define():
    emulate_avx512.header({path.name: path.read_text() for path in (ROOT / "csrc").glob("*avx512*")})
    with pytest.raises(SystemExit, match="^emulate_avx512: csrc/x.h uses _mm512_scalef_ps, which "):
        emulate_avx512.header({"csrc/x.h": "return _mm512_add_ps(a, _mm512_scalef_ps(a, b));"})


def test_the_emulation_replaces_a_line_of_the_build_and_one_of_dispatch(tmp_path):
    emulate_avx512.main(tmp_path)
    assert {path.name for path in (tmp_path / "csrc").iterdir()} - {
        path.name for path in (ROOT / "csrc").iterdir()
    } == {"emulated_avx512.h"}
    for name in ("setup.py", "csrc/dispatch.c"):
        ours, copied = ((folder / name).read_text().splitlines() for folder in (ROOT, tmp_path))
        changed = [line for line, copy in zip(ours, copied, strict=True) if line != copy]
        assert len(changed) == 1
        assert "512" in changed[0]


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs /proc/cpuinfo")
def test_an_isa_is_available_where_the_system_lists_its_features():
    features = set(
        re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split()
    )
    needed = {"avx512": {"avx512f", "avx512dq", "avx512bw", "avx512vl"}, "avx2": {"avx2", "fma"}, "portable": set()}
    assert core.available_isas() == [name for name in needed if needed[name] <= features]


def test_threads_and_arithmetic_are_asked_for_at_every_step(build, compiler, monkeypatch):
    """A C library whose threads are a library of their own needs -pthread; -ffast-math at link time flushes subnormals."""
    from setuptools import Distribution

    steps = []
    command = build.BuildExtension(Distribution({"version": "0"}))
    command.compiler, command.inplace, command.build_lib = compiler, False, "lib"
    translated = SimpleNamespace(name="core", sources=["core.c"])
    monkeypatch.setattr(build, "cythonize", lambda *args, **keywords: [translated])
    monkeypatch.setattr(command, "compile_unit", lambda ext, version, source, flags, tag: steps.append(flags))
    monkeypatch.setattr(compiler, "link_shared_object", lambda *args, extra_postargs: steps.append(extra_postargs))
    command.build_extension(translated)
    assert len(steps) > 5
    assert all("-pthread" in flags for flags in steps)
    assert steps[-1][-len(build.ARITHMETIC_FLAGS) :] == build.ARITHMETIC_FLAGS
