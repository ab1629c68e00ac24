"""Mutation testing of the kernels: each is broken in three ways, one at a time, and the tests must notice every one.

Run as `make mutate`; prints one line per mutant and a table of those that no test noticed; exit status 1 if any.

Design
A. Mutants come from the source: the bodies of all functions of FILES are searched for sites where an operator of CALLS
   or TEXT applies, and three sites spread over the body are taken. A new row of a table or a new kernel needs no edit
   here. The expressions NAME, NAME_dx and NAME_dy of a table are one body, the row NAME.
B. A mutant stays inside its arrays and ends: conditions and steps of loops, subscripts and integer arithmetic are left
   alone; a pointer loses its offset as a whole. Scalar arithmetic is mutated where an operand is declared as a number
   with a fraction, or as unsigned.
C. A mutant is noticed when a test fails, crashes or hangs. One that does not compile is replaced by the next site.
D. Each worker has a copy of the tree with its objects. Only the best ISA of this machine is rebuilt and tested: the
   objects of the others are made to look newer than the mutant.
E. There is no list of exceptions: a mutant that computes the same shows code that does nothing, and that code goes.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
WAYS = 3  # mutants per function
LIMIT = 120  # seconds for a test file; the whole suite has five times as much

# Where kernels stand, and the test file that most likely notices.
FILES = {"activations.inc.h": "activations", "pair.inc.h": "activations", "elementwise.inc.h": "activations", "vmath.inc.h": "activations",
         "losses.h": "losses", "losses.inc.h": "losses", "softmax.inc.h": "losses",
         "matmul.inc.h": "matmul", "optimizers.inc.h": "optimizers"}  # fmt: skip

# NAME of v_NAME(0, 1, 2), w_NAME(...), u_NAME(...), e_NAME(...) -> replacements; {v} is the letter. Other calls that map
# vectors to a vector become their first argument, but for those in KEPT.
CALLS = {
    "add": ["{v}_sub({0}, {1})"], "sub": ["{v}_add({0}, {1})"],
    "mul": ["{v}_add({0}, {1})"], "div": ["{v}_mul({0}, {1})"],
    "fma": ["{v}_fma({v}_neg({0}), {1}, {2})", "{v}_mul({0}, {1})"],
    "madd": ["{v}_madd({v}_neg({0}), {1}, {2})", "{v}_mul({0}, {1})"],
    "max": ["{v}_min({0}, {1})"], "min": ["{v}_max({0}, {1})"],
    "lt": ["{v}_lt({1}, {0})"], "le": ["{v}_le({1}, {0})", "{v}_lt({0}, {1})"], "eq": ["{v}_lt({0}, {1})"],
    "select": ["{v}_select({0}, {2}, {1})"], "widen": ["{v}_widen({0}, 0)"],
}  # fmt: skip
KEPT = "(load|store)(_part|_upto)?|narrow|wide|first|poly|mul_wide|split_exponent"

# Regular expression -> replacement, outside of subscripts and of the conditions and steps of loops.
TEXT = {
    r"(for \([^;()]*= )0;": r"\g<1>1;", r"(for \([^;()]*= )1;": r"\g<1>2;",  # a loop starts one later
    r" == ": " != ", r" != ": " == ", r"(\w\[\w+\]) > (\w+\[)": r"\1 < \2", r" >> 32\b": " >> 31",
}  # fmt: skip
SCALAR = {" + ": " - ", " - ": " + ", " * ": " + ", " / ": " * ", " += ": " -= ", " -= ": " += "}

Mutant = namedtuple("Mutant", "file function line before after text")  # text: of the whole file


def without_comments(text):
    """Blank comments and preprocessor lines; positions stay."""
    pattern = r"/\*.*?\*/|//[^\n]*|^[ \t]*#(?:\\\n|[^\n])*"
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL | re.MULTILINE)


def bodies_of(code):
    """Return {function or row: where its header, its body and its end are, for each of its bodies}."""
    found, depth, start, opened = {}, 0, 0, 0
    for m in re.finditer(r"[{};]", code):
        opened = m.start() if m[0] == "{" and not depth else opened
        depth += {"{": 1, "}": -1, ";": 0}[m[0]]
        if depth == 0:
            header = max(code.rfind("static", start, opened), start)
            if m[0] == "}" and code[header:opened].rstrip().endswith(")"):
                name = re.search(r"(?:\b[A-Z]+\()?(\w+?)(?:_d[xy])?[(),]", code[header:opened])[1]
                found.setdefault(name, []).append((header, opened, m.end()))
            start = m.end()
    return found


def until(code, start, stops=""):
    """Return the position from start of a character of stops, or of a closing bracket; skip what stands in brackets."""
    depth = 0
    for i in range(start, len(code)):
        if depth == 0 and code[i] in stops + ")]}":
            return i
        depth += (code[i] in "([{") - (code[i] in ")]}")
    raise ValueError("unbalanced brackets")


def arguments(code, start):
    """Return the arguments of a call whose first one starts there, and where the call ends."""
    found = []
    while not found or code[start - 1] == ",":
        end = until(code, start, ",")
        found.append(code[start:end].strip())
        start = end + 1
    return found, start


def declared(types, code):
    """Return the names declared with one of the types."""
    statements = re.findall(rf"\b(?:{types}) (?=([^;{{]*))", code)
    return {name for s in statements for name in re.findall(r"(?:^|, )(\w+)(?= = |[,)\[]|$)", s)}


def call_sites(code, start, end):
    """Yield (start, end, replacement) of the calls to mutate."""
    for m in re.compile(r"\b(?:([euvw])_(\w+)|[EW]_[A-Z]\w*|\w+_[vw])\(").finditer(code, start, end):
        given, stop = arguments(code, m.end())
        templates = [] if re.fullmatch(KEPT, m[2] or "") else CALLS.get(m[2], ["({0})"])
        if m[2] == "set1":
            literal = re.fullmatch(r"-?[\d.][\w.+-]*|-?INFINITY", given[0])
            value = {"0": "1", "1": "2", "-INFINITY": "0"}.get(given[0], f"{'0.5 * ' if literal else '-'}({given[0]})")
            templates = [f"{{v}}_set1({value})"]
        for template in templates:
            yield m.start(), stop, template.format(*given, v=m[1])


def text_sites(code, header, start, end):
    """Yield (start, end, replacement) of the other sites."""
    scope = " ".join(re.findall(r"typedef struct \{([^}]*)\}", code)) + code[header:end]
    integers, pointers = declared("int|int64_t", scope), set(re.findall(r"\*(\w+)", scope))
    numbers = declared("double|float|T|uint32_t|uint64_t", scope)

    def matches(pattern):
        return re.compile(pattern).finditer(code, start, end)

    loops = [(code.find(";", m.end(), until(code, m.end())), m.end()) for m in matches(r"\b(?:for|while) \(")]
    kept = [(max(loop), until(code, loop[1])) for loop in loops]  # from the condition on
    kept += [(m.start(), until(code, m.end())) for m in matches(r"\[")]

    def free(m):
        return not any(first <= m.start() < last for first, last in kept)

    for pattern, replacement in TEXT.items():
        yield from ((m.start(), m.end(), m.expand(replacement)) for m in matches(pattern) if free(m))
    for m in matches(r"(?<![*\w])((?:\w+->)?(\w+))( \+ )"):
        if m[2] in pointers and free(m):
            yield m.start(3), len(code[: until(code, m.start(), ",;:?")].rstrip()), ""
    for m in matches(r"(\w+)(\[[^][]*\])?\)?( [-+*/] | [-+]= )(?=\(*(?:\w+(?:->|\.))?(\w+)(\[)?)"):
        names = {name for name, subscript in ((m[1], m[2]), (m[4], m[5])) if not subscript}
        fraction = names & numbers or m[0] == "1 / "
        if free(m) and fraction and not names & (integers | pointers):
            yield m.start(3), m.end(3), SCALAR[m[3]]


def mutants_of(file, name, text, bodies):
    """Return the mutants of a function of the source text, the spread ones first."""
    code, sites, mutants = without_comments(text), set(), []
    for header, start, end in bodies:
        sites.update(call_sites(code, start, end), text_sites(code, header, start, end))
    if len(sites) < WAYS:  # twice the result
        returns = (m for body in bodies for m in re.compile(r"\breturn (?!0|FNN)([^;]*)").finditer(code, *body[1:]))
        sites.update((m.start(1), m.end(1), f"({m[1]}) + ({m[1]})") for m in returns)
    for start, end, replacement in sorted(sites):
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
        lines = text[first:last], text[first:start] + replacement + text[end:last]
        before, after = (" ".join(line.split()) for line in lines)
        whole = text[:first] + lines[1] + text[last:]
        mutants.append(Mutant(file, name, text.count("\n", 0, start) + 1, before, after, whole))
    spread = {len(mutants) * (2 * i + 1) // (2 * WAYS) for i in range(WAYS)}
    return sorted(mutants, key=lambda m: mutants.index(m) not in spread)


def copy_tree(target):
    """Copy what git knows or would add, and the objects; times stay, so that objects stay current."""
    listed = subprocess.check_output(["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    if (ROOT / "build").exists():
        shutil.copytree(ROOT / "build", target / "build")


class Worker:
    """A copy of the tree to break."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("FASTNN_")}
        self.env["PYTHONPATH"] = str(folder)
        if not self.build():
            sys.exit("mutate: the tree does not build")
        self.env["FASTNN_ISA"] = self.run(60, "-c", "import fastnn; print(fastnn.available_isas()[0])")[1].strip()

    def run(self, limit, *command):
        """Run python; return its exit status, None after `limit` seconds, and its output."""
        pipes = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "errors": "replace",
        }
        command = [sys.executable, *command]
        process = subprocess.Popen(command, cwd=self.folder, env=self.env, start_new_session=True, **pipes)
        try:
            output = process.communicate(timeout=limit)[0]
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, process.communicate()[0]

    def build(self):
        """Build in place; tell whether that gave an extension that loads."""
        commands = ["setup.py", "-q", "build_ext", "--inplace"], ["-c", "import fastnn"]
        return all(self.run(1200, *command)[0] == 0 for command in commands)

    def tests(self, limit, *files):
        """Run tests until the first failure; return the exit status and the output."""
        return self.run(limit, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files)

    def verdict(self, mutant):
        """Return caught, survived or invalid."""
        path = self.folder / "csrc" / mutant.file
        kept = path.read_text()
        path.write_text(mutant.text)
        for target in (self.folder / "build").rglob("*.o"):
            if target.stem != f"isa_{self.env['FASTNN_ISA']}":
                os.utime(target)
        try:
            if not self.build():
                return "invalid"
            green = self.tests(LIMIT, f"tests/test_{FILES[mutant.file]}.py")[0] == 0 and self.tests(5 * LIMIT)[0] == 0
            return "survived" if green else "caught"
        finally:
            path.write_text(kept)


def run_all(root, functions, jobs):
    """Run WAYS mutants of every function, given as lists of mutants; return [(mutant, verdict)]."""
    first, workers = Worker(root), Queue()
    status, output = first.tests(5 * LIMIT)
    if status != 0:
        sys.exit(f"{output[-3000:]}\nmutate: the tests fail without a mutant")
    workers.put(first)
    for i in range(1, jobs):
        workers.put(Worker(shutil.copytree(root, root.with_name(str(i)))))

    def run(mutants):
        worker, done = workers.get(), []
        try:
            while mutants and sum(verdict != "invalid" for _, verdict in done) < WAYS:
                done.append((mutants[0], worker.verdict(mutants.pop(0))))
                print(f"{done[-1][1]:8}  {describe(done[-1][0])}", flush=True)
        finally:
            workers.put(worker)
        return done

    with ThreadPoolExecutor(jobs) as pool:
        return [result for done in pool.map(run, functions) for result in done]


def describe(mutant):
    return f"{mutant.file}:{mutant.line} {mutant.function}: {mutant.before}  ->  {mutant.after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="functions and rows whose name contains TEXT")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--jobs", type=int, default=2, help="workers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        root = Path(folder).resolve() / "0"
        copy_tree(root)
        functions = []
        for file in FILES:
            text = (root / "csrc" / file).read_text()
            bodies = bodies_of(without_comments(text)).items()
            functions += [mutants_of(file, name, text, where) for name, where in bodies if options.only in name]
        if options.list:
            print(*(describe(m) for mutants in functions for m in mutants[:WAYS]), sep="\n")
            return 0
        results = run_all(root, functions, options.jobs)
    survivors = [mutant for mutant, verdict in results if verdict == "survived"]
    caught = sum(verdict == "caught" for _, verdict in results)
    print(f"{len(functions)} functions, {caught + len(survivors)} mutants, {caught} caught, {len(survivors)} survived")
    for m in survivors:
        print(f"\ncsrc/{m.file}:{m.line} ({m.function})\n    - {m.before}\n    + {m.after}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
