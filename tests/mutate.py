"""Mutation testing of the kernels: each is broken in three ways, one at a time, and the tests must notice every one.

Run as `make mutate`; prints one line per mutant and a table of those that no test noticed. Exit status 1 if there are any.

Design
A. Mutants come from the source: the bodies of all functions of FILES are searched for sites where an operator of CALLS or TEXT
   applies, and three sites spread over the body are taken. A new row of a table or a new kernel needs no edit here. The
   expressions NAME, NAME_dx and NAME_dy of a table are one body, the row NAME.
B. A mutant stays inside its arrays and ends: conditions and steps of loops, subscripts and integer arithmetic are left alone;
   a pointer loses its offset as a whole. Arithmetic on scalars is mutated where an operand is declared as a number with a
   fraction, or as unsigned.
C. A mutant counts as noticed when a test fails, crashes or hangs. One that does not compile is replaced by the next site.
D. Each worker has a copy of the tree with its objects. Only the best ISA of this machine is rebuilt and tested: the objects of
   the others are made to look newer than the mutant.
E. EQUIVALENT lists mutants that compute the same, each with the reason. A mutant that survives because the tests are weak does
   not belong there.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
WAYS = 3  # mutants per function
LIMIT = 120  # seconds for the tests of one mutant; the whole suite gets four times what it needs, if that is more

# Where kernels stand, and the test file that most likely notices.
FILES = {
    "activations.h": "activations",
    "elementwise.inc.h": "activations",
    "vmath.inc.h": "activations",
    "losses.h": "losses",
    "losses.inc.h": "losses",
    "softmax.inc.h": "losses",
    "matmul.inc.h": "matmul",
    "optimizers.inc.h": "optimizers",
}

# v_NAME(0, 1, 2), w_NAME(...) or u_NAME(...) -> replacement; {v} is the letter. Other calls that map a vector to a vector become
# their first argument, but for the names that map to None.
CALLS = {
    "add": ["{v}_sub({0}, {1})"],
    "sub": ["{v}_add({0}, {1})"],
    "mul": ["{v}_add({0}, {1})"],
    "div": ["{v}_mul({0}, {1})"],
    "fma": ["{v}_fma({v}_neg({0}), {1}, {2})", "{v}_mul({0}, {1})"],
    "madd": ["{v}_madd({v}_neg({0}), {1}, {2})", "{v}_mul({0}, {1})"],
    "max": ["{v}_min({0}, {1})", "{v}_max({1}, {0})"],
    "min": ["{v}_max({0}, {1})", "{v}_min({1}, {0})"],
    "lt": ["{v}_lt({1}, {0})"],
    "le": ["{v}_le({1}, {0})", "{v}_lt({0}, {1})"],
    "eq": ["{v}_lt({0}, {1})"],
    "select": ["{v}_select({0}, {2}, {1})"],
    "widen": ["{v}_widen({0}, 0)"],
    "xor": ["({0})"],
    **dict.fromkeys(("load", "load_part", "load_upto", "store", "store_part", "store_upto", "narrow", "wide", "first", "poly",
                     "mul_wide", "reduce_ln2", "split_exponent")),
}  # fmt: skip

# Regular expression -> replacement, outside the conditions and steps of loops.
TEXT = [
    (r"(for \([^;()]*= )0;", r"\g<1>1;"),  # a loop starts one later
    (r"(for \([^;()]*= )1;", r"\g<1>2;"),
    (r" == ", " != "),
    (r" != ", " == "),
    (r"(\w\[\w+\]) > (\w+\[)", r"\1 < \2"),
    (r" >> 32\b", " >> 31"),
]
SCALAR = {" + ": " - ", " - ": " + ", " * ": " + ", " / ": " * ", " += ": " -= ", " -= ": " += "}

# (function, line after mutation) -> why it computes the same.
EQUIVALENT = {}

Function = namedtuple("Function", "file name code bodies")  # bodies: (header, start, end) with start and end in code
Mutant = namedtuple("Mutant", "file function line before after text")  # text: of the whole file


def without_comments(text):
    """Blank comments and preprocessor lines; positions stay."""
    pattern = r"/\*.*?\*/|//[^\n]*|^[ \t]*#(?:\\\n|[^\n])*"
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL | re.MULTILINE)


def functions_of(file, text):
    """Return the functions of a source file, the expressions of a row as one."""
    code, found, depth, start, opened = without_comments(text), {}, 0, 0, 0
    for m in re.finditer(r"[{};]", code):
        if m[0] == "{":
            opened = opened if depth else m.start()
            depth += 1
        elif m[0] == "}":
            depth -= 1
        if depth == 0:
            header = code[start:opened] if m[0] == "}" else ""
            if header.rstrip().endswith(")"):
                header = header[max(header.rfind("static"), 0) :]
                name, inner = re.search(r"(\w+)\((\w*)", header).groups()
                if name in ("NARROW", "WIDE", "LOSS"):
                    name = re.sub("_d[xy]$", "", inner)
                elif name == "FNN":
                    name = inner
                found.setdefault(name, Function(file, name, code, [])).bodies.append((header, opened, m.end()))
            start = m.end()
    return list(found.values())


def until(code, start, stops):
    """Return the first position from start, outside of brackets opened since, of a character of stops or a closing bracket."""
    depth = 0
    for i in range(start, len(code)):
        if depth == 0 and code[i] in stops + ")]}":
            return i
        depth += (code[i] in "([{") - (code[i] in ")]}")
    return len(code)


def arguments(code, start):
    """Return the arguments of a call whose first one starts there, and where the call ends."""
    found = []
    while True:
        end = until(code, start, ",")
        found.append(code[start:end].strip())
        if code[end] != ",":
            return found, end + 1
        start = end + 1


def declared(types, code):
    """Return the names declared with one of the types."""
    statements = re.findall(rf"\b(?:{types}) (?=([^;{{]*))", code)
    return {name for s in statements for name in re.findall(r"(?:^|, )(\w+)(?= = |[,)\[]|$)", s)}


def changed_constant(value):
    """Return another value for the argument of set1."""
    if value in ("0", "1"):
        return str(int(value) + 1)
    if "INFINITY" in value:
        return "0"
    return f"0.5 * ({value})" if re.fullmatch(r"-?[\d.][\w.+-]*", value) else f"-({value})"


def call_sites(code, start, end):
    """Yield (start, end, replacement) of the calls to mutate."""
    for m in re.compile(r"\b(?:([uvw])_(\w+)|W_[A-Z]\w*|\w+_[vw])\(").finditer(code, start, end):
        given, stop = arguments(code, m.end())
        if m[2] == "set1":
            yield m.start(), stop, f"{m[1]}_set1({changed_constant(given[0])})"
        else:
            for template in CALLS.get(m[2], ["({0})"]) or []:
                yield m.start(), stop, template.format(*given, v=m[1])


def text_sites(code, start, end, numbers, integers, pointers):
    """Yield (start, end, replacement) of the other sites."""
    loops = [(m.end(), until(code, m.end(), "")) for m in re.compile(r"\b(?:for|while) \(").finditer(code, start, end)]
    loops = [(code.find(";", a, b) + 1 or a, b) for a, b in loops]  # from the condition on
    loops += [
        (m.start(), until(code, m.end(), "")) for m in re.compile(r"\[").finditer(code, start, end)
    ]  # and subscripts

    def free(i):
        return not any(a <= i < b for a, b in loops)

    for pattern, replacement in TEXT:
        for m in re.compile(pattern).finditer(code, start, end):
            if free(m.start()):
                yield m.start(), m.end(), m.expand(replacement)
    for m in re.compile(r"(?<![*\w])((?:\w+->)?(\w+)) \+ ").finditer(code, start, end):
        if m[2] in pointers and free(m.start()):
            yield m.start(), until(code, m.start(), ",;:?"), m[1]
    for m in re.compile(r"(\w+)(?:\[[^][]*\]|\))?( [-+*/] | [-+]= )(?=\(*(?:\w+(?:->|\.))?(\w+))").finditer(
        code, start, end
    ):
        names = {m[1], m[3]}
        if free(m.start()) and not names & (integers | pointers) and names & numbers:
            yield m.start(2), m.end(2), SCALAR[m[2]]


def return_sites(code, header, start, end):
    """Yield twice the result, for functions with few other sites."""
    kind = re.match(r"NARROW|WIDE|LOSS|.*\b[VW] (?=\w+\()|.*\bdouble (?=\w+\()", header.strip(), re.DOTALL)
    twice = {"N": "v_add({0}, {0})", "V": "v_add({0}, {0})", "d": "2 * ({0})"}
    for m in re.compile(r"\breturn ([^;]*);").finditer(code, start, end) if kind else ():
        key = kind[0].split()[-1][0]
        yield m.start(1), m.end(1), twice.get(key, "w_add({0}, {0})").format(m[1])


def mutants_of(function):
    """Return the mutants of a function, the spread ones first."""
    text, code, structs = (ROOT / "csrc" / function.file).read_text(), function.code, ""
    structs = " ".join(re.findall(r"typedef struct \{([^}]*)\}", code))
    sites, returns = set(), set()
    for header, start, end in function.bodies:
        scope = f"{structs} {header} {code[start:end]}"
        names = declared("double|float|T|uint32_t|uint64_t", scope), declared("int|int64_t", scope)
        sites.update(
            call_sites(code, start, end), text_sites(code, start, end, *names, set(re.findall(r"\*(\w+)", scope)))
        )
        returns.update(return_sites(code, header, start, end))
    sites = sorted(sites if len(sites) >= WAYS else sites | returns)
    mutants = []
    for start, end, replacement in sites:
        line = text.rfind("\n", 0, start) + 1
        line_end = text.find("\n", end)
        before, after = text[line:line_end], text[line:start] + replacement + text[end:line_end]
        before, after = " ".join(before.split()), " ".join(after.split())
        if (function.name, after) not in EQUIVALENT:
            number = text.count("\n", 0, start) + 1
            mutants.append(
                Mutant(function.file, function.name, number, before, after, text[:start] + replacement + text[end:])
            )
    spread = list(dict.fromkeys(len(mutants) * (2 * i + 1) // (2 * WAYS) for i in range(WAYS)))[: len(mutants)]
    return [mutants[i] for i in spread] + [m for i, m in enumerate(mutants) if i not in spread]


class Worker:
    """A copy of the tree to break."""

    def __init__(self, folder):
        self.folder = Path(folder)
        listed = subprocess.run(
            ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        if (ROOT / "build").exists():
            shutil.copytree(ROOT / "build", self.folder / "build")
        self.env = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        for name in ("FASTNN_WERROR", "FASTNN_ISA"):
            self.env.pop(name, None)
        self.limit = LIMIT
        self.build()
        asked = self.run(["-c", "import fastnn; print(fastnn.available_isas()[0])"], LIMIT)
        self.env["FASTNN_ISA"] = asked[1].split()[-1]

    def run(self, command, limit):
        """Run python; return its exit status, None after the time limit, and its output."""
        process = subprocess.Popen([sys.executable, *command], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip
        try:
            output = process.communicate(timeout=limit)[0]
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, process.communicate()[0]

    def build(self):
        """Build in place; tell whether that gave an extension that loads."""
        return (
            self.run(["setup.py", "-q", "build_ext", "--inplace"], 1200)[0] == 0
            and self.run(["-c", "import fastnn"], 60)[0] == 0
        )

    def tests(self, *files):
        """Run tests until the first failure; return the exit status and the output."""
        return self.run(["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files], self.limit)

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
            files = [f"tests/test_{FILES[mutant.file]}.py"], []
            return "survived" if all(self.tests(*f)[0] == 0 for f in files) else "caught"
        finally:
            path.write_text(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="functions and rows whose name contains TEXT")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--jobs", type=int, default=2, help="workers")
    options = parser.parse_args()
    functions = [
        f for file in FILES for f in functions_of(file, (ROOT / "csrc" / file).read_text()) if options.only in f.name
    ]
    candidates = {f: mutants_of(f) for f in functions}
