"""Mutation testing: the sources are broken one place at a time, and the tests must notice.

Run as `make mutate`, or `make mutate SAMPLE=200 SEED=0` for so many mutants spread evenly over the files. Prints one line per
mutant, a table by file and those that no test noticed; exit status 1 if fewer than 95 % were noticed.

Design
A. Every file of C, Cython and Python that git knows is mutated; rules (c_sites, cython_sites, python_sites) find the places,
   so that a new file, function or row needs no edit here. TESTS only says which tests are asked first.
B. The places of a file are drawn by a seed, function after function, so that none is left out. Without SAMPLE each file
   has LEAST mutants or PER_FUNCTION for each function, whichever is more.
C. A mutant is noticed when a test fails, crashes or hangs. One that does not compile, or whose objects are those of the
   unbroken tree (code of another platform), is replaced by the next of its file.
D. Each mutant gets a copy of the built tree, in which only what depends on it is rebuilt; Python needs no build. Kernels
   are rebuilt and tested for one ISA, the one their file is named after, or else those of this machine by turns, as the number
   of the mutant in its file has it: the objects of the others are made to look newer than the mutant.
E. There is no list of exceptions: a mutant that computes the same shows code that does nothing, and that code goes.
"""

import argparse
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen, TimeoutExpired, check_output

from mutants import ROOT, kernels, mutants_of, shares, sources

ENOUGH = 0.95  # of the mutants noticed
MEMORY = 64 << 30  # bytes of addresses for a process, so that a mutant cannot take the machine with it

# What a path contains -> the test files most likely to notice, the first match counting. A test file of the source's own
# name comes before these; without any the whole suite is asked at once.
TESTS = {
    r"optim|schedule": "optimizers steps updates", r"loss|softmax": "pointwise_losses row_losses losses trainer",
    r"trainer|network|metrics|history|data\.py": "trainer steps updates history",
    r"products|panel|tile|pack|matmul": "matmul", r"split|pool|thread|dispatch|runtime|platform": "threads work package",
    r"reference|functional": "activations package arguments losses",
    r"gates": "arguments activations matmul", r"vec_": "activations guard", r"core/|csrc/": "activations",
    r"layers|init\.py": "layers", r"serialization|datasets": "files", r"benchmarks": "benchmarks reports", r"cli|accuracy|__": "package",
}  # fmt: skip


class Tree:
    """The built tree without a mutant, and how long its tests take."""

    def __init__(self, folder):
        self.folder, self.running = folder, set()
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("FASTNN_")}
        listed = check_output(["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, text=True)
        for name in listed.split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)  # times stay, so that objects stay current
        if (ROOT / "build").exists():
            others = shutil.ignore_patterns("emulated", "sanitize")  # builds of their own
            shutil.copytree(ROOT / "build", folder / "build", ignore=others)
        if not self.build(folder):
            sys.exit("mutate: the tree does not build")
        self.isas = self.run(folder, 60, "-c", "import fastnn; print(*fastnn.available_isas())")[1].split()
        self.kernels, self.seconds = kernels(sources()), {}
        self.objects = {path.relative_to(folder): path.read_bytes() for path in folder.glob("build/temp*/**/*.o")}

    def run(self, folder, limit, *command, **env):
        """Run python in a copy; return its exit status, None after `limit` seconds, and its output."""
        env = self.env | {"PYTHONPATH": str(folder)} | env
        pipes = dict(stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, errors="replace")
        process = Popen([sys.executable, *command], cwd=folder, env=env, start_new_session=True, **pipes)
        self.running.add(process)
        try:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
            output = process.communicate(timeout=limit)[0]
            return process.returncode, output
        except TimeoutExpired:
            kill(process)
            return None, process.communicate()[0]
        finally:
            self.running.discard(process)

    def build(self, folder):
        """Build in place; tell whether that was possible."""
        return self.run(folder, 1200, "setup.py", "-q", "build_ext", "--inplace")[0] == 0

    def measure(self):
        """Run each test file and note how long it takes."""
        for path in sorted(self.folder.glob("tests/test_*.py")):
            start = time.monotonic()
            status, output = self.tests(self.folder, [path.name])
            if status != 0:
                sys.exit(f"{output[-3000:]}\nmutate: {path.name} fails without a mutant")
            self.seconds[path.name] = time.monotonic() - start

    def tests(self, folder, names, **env):
        """Run test files until the first failure; return the exit status and the output."""
        limit = 60 + 5 * sum(self.seconds.get(name, 600) for name in names)
        paths = [f"tests/{name}" for name in names]
        return self.run(folder, limit, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *paths, **env)

    def asked(self, name):
        """Return the test files asked first about a path, and the others."""
        words = next((words for pattern, words in TESTS.items() if re.search(pattern, name)), "")
        wanted = [f"test_{word}.py" for word in [Path(name).name.partition(".")[0], *words.split()]]
        first = [file for file in dict.fromkeys(wanted) if file in self.seconds]
        return first, [file for file in self.seconds if file not in first]

    def isa_of(self, mutant):
        """Return the ISA for which a mutant is tried, which may be none of this machine; None where it is not of kernels."""
        if mutant.file not in self.kernels:
            return None
        known = [path.stem.removeprefix("isa_") for path in self.folder.glob("csrc/isa_*.c")]
        named = (isa for isa in known if re.search(rf"_{isa}\.", mutant.file))
        return next(named, self.isas[mutant.number % len(self.isas)])

    def verdict(self, mutant, folder):
        """Return caught, survived, or why the mutant is none: invalid, or same (nothing differs that runs here)."""
        isa = self.isa_of(mutant)
        if isa not in (None, *self.isas):
            return "same"
        shutil.copytree(self.folder, folder)
        try:
            (folder / mutant.file).write_text(mutant.text)
            if not mutant.file.endswith(".py"):
                for path in self.objects:
                    if isa and path.stem != f"isa_{isa}":
                        os.utime(folder / path)
                if not self.build(folder):
                    return "invalid"
                if all((folder / path).read_bytes() == content for path, content in self.objects.items()):
                    return "same"
            env = {"FASTNN_ISA": isa} if isa else {}
            green = all(self.tests(folder, names, **env)[0] == 0 for names in self.asked(mutant.file) if names)
            return "survived" if green else "caught"
        finally:
            shutil.rmtree(folder)


def kill(process):
    """End a process and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run_all(tree, mutants, share, jobs):
    """Try so many mutants of each path; return [(mutant, caught or survived)]."""
    lock, results = threading.Lock(), []
    waiting = {name: iter(some) for name, some in mutants.items()}

    def run(turn):
        for mutant in iter(lambda: next_of(turn), None):
            verdict = tree.verdict(mutant, tree.folder.with_name(f"{turn[0]}"))
            print(f"{verdict:8}  {tree.isa_of(mutant) or '':8}  {describe(mutant)}", flush=True)
            if verdict in ("caught", "survived"):
                results.append((mutant, verdict))
                return

    def next_of(turn):
        with lock:
            return next(waiting[turn[1]], None)

    turns = [name for i in range(max(share.values())) for name in share if i < share[name]]
    pool = ThreadPoolExecutor(jobs)
    try:
        list(pool.map(run, enumerate(turns, 1)))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(tree.running):
            kill(process)
        raise
    return results


def describe(mutant):
    return f"{mutant.file}:{mutant.line} {mutant.function}: {mutant.before}  ->  {mutant.after}"


def report(results):
    """Print the table and the survivors; return the share that was noticed."""
    files = sorted({mutant.file for mutant, _ in results})
    for name in [*files, ""]:
        verdicts = [verdict for mutant, verdict in results if mutant.file.startswith(name)]
        print(f"{verdicts.count('caught'):5} of {len(verdicts):4}  {name or 'all'}")
    for m, verdict in results:
        if verdict == "survived":
            print(f"\n{m.file}:{m.line} ({m.function})\n    - {m.before}\n    + {m.after}")
    noticed = sum(verdict == "caught" for _, verdict in results) / max(len(results), 1)
    print(f"\n{len(results)} mutants, {noticed:.1%} noticed")
    return noticed


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, metavar="N", help="N mutants, spread evenly over the files")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose path:function contains TEXT")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    options = parser.parse_args()
    mutants = mutants_of(sources(), options.seed, options.only)
    share = shares(mutants, options.sample, options.seed)
    if options.list:
        print(*(describe(m) for name, some in mutants.items() for m in some[: share[name]]), sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        tree = Tree(Path(folder).resolve() / "0")
        tree.measure()
        results = run_all(tree, mutants, share, options.jobs)
    return 0 if report(results) >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
