"""Builds the one extension module from fastnn/_fastnn_core.pyx and csrc/. Metadata stands in pyproject.toml.

Each isa_*.c is compiled once per dtype. Objects are compiled in parallel, kept under build/ and rebuilt when their command, the
compiler, or a file they include changed. FASTNN_WERROR=1 turns warnings of csrc into errors.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# name: (macro of the compiler's target that the ISA needs, or None; flags)
ISAS = {
    "portable": (None, []),
    "avx2": ("__x86_64__", ["-mavx2", "-mfma"]),
    "avx512": ("__x86_64__", ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"]),
}

EXTENSION_FLAGS = ["-O2", "-g0", "-fvisibility=hidden", "-pthread"]
KERNEL_FLAGS = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra"]
# Python's own flags ask for counters that wrap; loops over such counters are slower, some by a third.
KERNEL_FLAGS += ["-fno-wrapv"]
if os.environ.get("FASTNN_WERROR") == "1":
    KERNEL_FLAGS.append("-Werror")
# gcc's first scheduling pass, off on x86, interleaves the two vectors of an elementwise loop: a tenth faster, a fifth
# with float64 lanes.
GCC_FLAGS = ["-fschedule-insns", "-fsched-pressure"]
# Where a stride of 1 is faster, the tiles say so themselves; a second copy of each loop would only be larger.
GCC_FLAGS += ["-fno-version-loops-for-strides"]
# Tables for unwinding stacks, which C without exceptions does not need, are 2 % of the wheel.
SIZE_FLAGS = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
# In the extension module small functions become part of large ones less often than -O2 has it, and redundancies between blocks
# stay: a quarter smaller, calls some 7 % longer.
GCC_EXTENSION_FLAGS = ["-fno-align-functions", "-fno-align-loops", "-fno-align-jumps", "-fno-schedule-insns2"]
GCC_EXTENSION_FLAGS += ["--param=inline-unit-growth=5", "-fno-tree-pre", "-fno-gcse"]
# Kernels of float64 whose loops are not unrolled unless they say so, nor doubled where they are long: 39 KB of the wheel. Most
# are as fast; losses, softmax and batch norm take up to a fifth longer.
DOUBLE_FLAGS = ["-O2", "-ftree-vectorize"]
GCC_DOUBLE_FLAGS = ["-funswitch-loops", "--param=max-unswitch-insns=25"]
# Code between calls of kernels, where no time is spent: 4 KB of the wheel.
GLUE = ("dispatch.c", "network.c", "pool.c", "split.c")
GLUE_FLAGS = ["-Os"]
# Portable kernels beside those of other ISAs: processors without AVX2 are rare, and these kernels are large, a vector being a
# loop. With these flags a third is saved, 0.13 MB of the wheel; most kernels run as fast, products faster, Adam
# takes 1.2, relu 1.5 and layer norm 2 times as long.
SMALL_FLAGS = ["-O2", "-ftree-vectorize"]
GCC_SMALL_FLAGS = ["-fvect-cost-model=dynamic", "-fno-tree-pre", "-fno-gcse"]
GCC_SMALL_FLAGS += ["-fno-schedule-insns", "-fno-schedule-insns2"]
GCC_SMALL_FLAGS += ["-fno-jump-tables", "-fno-thread-jumps", "-fno-tree-dominator-opts"]
GCC_SMALL_FLAGS += ["-fno-align-functions", "-fno-align-loops", "-fno-align-jumps"]
# Whatever CFLAGS asks for: arithmetic as it is written. These stand last on the command line, because the last of two
# contradicting flags wins. -ffast-math is the sum of the others, and each of those can be given alone. fma is written
# where it is meant, so nothing is contracted: gcc would fuse intrinsics too. At link time -ffast-math would add start-up
# code that flushes subnormals in the whole process.
ARITHMETIC_FLAGS = ["-fno-fast-math", "-fno-unsafe-math-optimizations", "-fno-associative-math", "-fno-reciprocal-math"]
ARITHMETIC_FLAGS += ["-fno-finite-math-only", "-fsigned-zeros", "-fno-math-errno", "-ffp-contract=off"]


def target_macros(command):
    """What the compiler predefines, {name: value}; command may hold a launcher, as in CC="ccache gcc"."""
    done = subprocess.run([*command, "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True, check=True)
    lines = (line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("#define "))
    return {words[1]: "".join(words[2:]) for words in lines}


def units(extension_source, version, macros):
    """(source, flags, tag) of every object; tags keep objects of one source apart."""
    is_gcc = "__GNUC__" in macros and "__clang__" not in macros
    kernel_flags = KERNEL_FLAGS + SIZE_FLAGS + GCC_FLAGS * is_gcc
    flags = EXTENSION_FLAGS + SIZE_FLAGS + GCC_EXTENSION_FLAGS * is_gcc
    yield extension_source, [*flags, f'-DFASTNN_VERSION="{version}"'], "extension"
    for source in sorted(Path("csrc").glob("*.c")):
        if not source.name.startswith("isa_"):
            yield str(source), kernel_flags + GLUE_FLAGS * (source.name in GLUE), "common"
    small = SMALL_FLAGS + GCC_SMALL_FLAGS * is_gcc
    has_others = any(needed in macros for needed, _ in ISAS.values() if needed)
    by_dtype = {"32": [], "64": DOUBLE_FLAGS + GCC_DOUBLE_FLAGS * is_gcc}
    for isa, (needed, flags) in ISAS.items():
        if needed is None or needed in macros:
            for bits, more in by_dtype.items():
                if isa == "portable" and has_others:
                    more = small
                yield f"csrc/isa_{isa}.c", [*kernel_flags, *flags, *more, f"-DFNN_DTYPE={bits}"], f"f{bits}"


def is_current(target, record):
    """Whether the object was made as the record says and is newer than all it includes."""
    recorded, dependencies = target.with_suffix(".cmd"), target.with_suffix(".d")
    if not (target.exists() and recorded.exists() and dependencies.exists() and recorded.read_text() == record):
        return False
    names = dependencies.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    made = target.stat().st_mtime
    return all(Path(name).exists() and Path(name).stat().st_mtime <= made for name in names)


class BuildExtension(build_ext):
    def build_extension(self, ext):
        # Cython looks at the times of files alone: another version of Cython writes into another folder.
        folder = os.path.join("build", f"cython-{Cython.__version__}")
        (source,) = cythonize(ext, build_dir=folder, language_level=3)[0].sources
        macros = target_macros(self.compiler.compiler_so)
        todo = units(source, self.distribution.get_version(), macros)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda unit: self.compile_unit(ext, macros.get("__VERSION__"), *unit), todo))
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), extra_postargs=["-pthread", "-lm", *ARITHMETIC_FLAGS]
        )

    def compile_unit(self, ext, compiler_version, source, flags, tag):
        folder = os.path.join(self.build_temp, tag)
        target = Path(self.compiler.object_filenames([source], output_dir=folder)[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = [*flags, *ARITHMETIC_FLAGS]
        # Kernels know no NumPy, whose folder is another one in each build that pip isolates.
        include_dirs, macros = (ext.include_dirs, ext.define_macros) if tag == "extension" else (["csrc"], [])
        given = [*include_dirs, *self.compiler.include_dirs], [*macros, *self.compiler.macros]
        record = repr((self.compiler.compiler_so, compiler_version, source, given, flags))
        if self.force or not is_current(target, record):
            self.compiler.compile(
                [source],
                output_dir=folder,
                include_dirs=include_dirs,
                macros=macros,
                extra_postargs=[*flags, "-MMD", "-MF", str(target.with_suffix(".d"))],
            )
            target.with_suffix(".cmd").write_text(record)
        return str(target)


if __name__ == "__main__":
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
