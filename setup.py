"""Builds the one extension module from fastnn/_fastnn_core.pyx and csrc/. Metadata stands in pyproject.toml.

Each isa_*.c is compiled once per dtype. Objects are compiled in parallel, kept under build/ and rebuilt when their command, or
a file they include, changed. FASTNN_WERROR=1 turns warnings of csrc into errors.
"""

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64")
ISA_FLAGS = {"portable": [], **({"avx2": ["-mavx2", "-mfma"]} if X86 else {})}

KERNEL_FLAGS = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-Wall", "-Wextra"]
# No contraction: fma is written where it is meant, and gcc would fuse intrinsics too. No wrapping: Python's own flags ask for
# it, and loops whose counters may wrap are slower, some by a third.
KERNEL_FLAGS += ["-ffp-contract=off", "-fno-math-errno", "-fno-wrapv"]
if os.environ.get("FASTNN_WERROR") == "1":
    KERNEL_FLAGS.append("-Werror")
# gcc's first scheduling pass, off on x86, interleaves the two vectors of an elementwise loop: a tenth faster, a fifth
# with float64 lanes.
GCC_FLAGS = ["-fschedule-insns", "-fsched-pressure"]


def units(extension_source):
    """(source, flags, tag) of every object; tags keep objects of one source apart."""
    yield extension_source, ["-O2", "-g0", "-fvisibility=hidden"], "extension"
    for name in ("dispatch", "parallel", "pool"):
        yield f"csrc/{name}.c", KERNEL_FLAGS, "common"
    for isa, flags in ISA_FLAGS.items():
        for bits in ("32", "64"):
            yield f"csrc/isa_{isa}.c", [*KERNEL_FLAGS, *flags, f"-DFNN_DTYPE={bits}"], f"f{bits}"


def is_current(target, command):
    """Whether the object was made by this command and is newer than all it includes."""
    record, dependencies = target.with_suffix(".cmd"), target.with_suffix(".d")
    if not (target.exists() and record.exists() and dependencies.exists() and record.read_text() == command):
        return False
    names = dependencies.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    made = target.stat().st_mtime
    return all(Path(name).exists() and Path(name).stat().st_mtime <= made for name in names)


class BuildExtension(build_ext):
    def build_extension(self, ext):
        (source,) = cythonize(ext, build_dir=os.path.join("build", "cython"), language_level=3)[0].sources
        if self.is_gcc():
            KERNEL_FLAGS.extend(GCC_FLAGS)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda unit: self.compile_unit(ext, *unit), units(source)))
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), extra_postargs=["-lm"], target_lang="c"
        )

    def is_gcc(self):
        command = [*self.compiler.compiler_so[:1], "-dM", "-E", "-x", "c", os.devnull]
        macros = subprocess.run(command, capture_output=True, text=True).stdout
        return "__GNUC__" in macros and "__clang__" not in macros

    def compile_unit(self, ext, source, flags, tag):
        folder = os.path.join(self.build_temp, tag)
        target = Path(self.compiler.object_filenames([source], output_dir=folder)[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        command = " ".join([*self.compiler.compiler_so, *flags])
        if self.force or not is_current(target, command):
            self.compiler.compile(
                [source],
                output_dir=folder,
                include_dirs=ext.include_dirs,
                macros=ext.define_macros,
                extra_postargs=[*flags, "-MMD", "-MF", str(target.with_suffix(".d"))],
            )
            target.with_suffix(".cmd").write_text(command)
        return str(target)


setup(
    ext_modules=[
        Extension(
            "fastnn._fastnn_core",
            ["fastnn/_fastnn_core.pyx"],
            include_dirs=["csrc", numpy.get_include()],
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
            ],
        )
    ],
    cmdclass={"build_ext": BuildExtension},
)
