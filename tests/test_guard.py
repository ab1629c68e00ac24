"""A short run of guard.c: every kernel on memory that ends at protected pages. `make guard` is the long one."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def guard():
    """Build guard.c; return the program."""
    if not (shutil.which("make") and shutil.which("cc")):
        pytest.skip("no make or no C compiler for guard.c")
    if not any(ROOT.glob("build/temp.*/f32/csrc/isa_*.o")):
        pytest.skip("no objects of the kernels here to link guard.c with")
    subprocess.run(["make", "-s", "-C", ROOT, "build/guard"], check=True)
    return ROOT / "build" / "guard"


def test_kernels_stay_inside_their_operands_and_agree_with_plain_loops(guard):
    run = subprocess.run([guard, "10000"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("rounds") >= 2  # a line for each dtype of each ISA


def test_no_number_is_made_of_memory_that_nobody_has_written(guard):
    """Not even one that pads an array, and which nobody reads: operands are compared whole."""
    if not shutil.which("valgrind"):
        pytest.skip("needs valgrind")
    run = subprocess.run(["valgrind", "-q", "--error-exitcode=9", guard, "500", "99"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
