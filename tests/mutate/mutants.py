"""Which mutants there are: sites of every source, in an order drawn by a seed, and how many of each file are tried."""

import random
import re
import subprocess
from collections import namedtuple
from itertools import zip_longest
from pathlib import Path

import c_sites
import cython_sites
import python_sites

ROOT = Path(__file__).resolve().parents[2]
PER_FUNCTION, LEAST = 3, 10  # mutants of a function, of a file

# number: among those of its file; text: of the whole file
Mutant = namedtuple("Mutant", "file number function line before after text")


def sources():
    """Return the paths of what is mutated."""
    listed = subprocess.check_output(["git", "ls-files", "csrc", "fastnn"], cwd=ROOT, text=True).split()
    return [name for name in listed if re.search(r"\.(c|h|pyx|pxi|py)$", name) and (ROOT / name).is_file()]


def kernels(names):
    """Return the paths of those that an isa_*.c includes, directly or not."""
    known = {Path(name).name: name for name in names if name.startswith("csrc/")}
    found, new = set(), {file for file in known if file.startswith("isa_")}
    while new:
        found |= new
        texts = [(ROOT / known[file]).read_text() for file in new]
        new = {file for text in texts for file in re.findall(r'#include "([\w.]+)"', text)} & known.keys() - found
    return {known[file] for file in found}


def mutants_of(names, seed, only=""):
    """Return {path: mutants whose path:function contains `only`}, each list in the order in which they are to be tried."""
    texts, found = {name: (ROOT / name).read_text() for name in names}, {}
    gates = cython_sites.gates_of(text for name, text in texts.items() if name.endswith((".pyx", ".pxi")))
    computing = kernels(names)
    for name, text in texts.items():
        if name.endswith(".py"):
            sites = python_sites.sites(text)
        elif name.endswith((".c", ".h")):
            sites = c_sites.sites(text, name in computing)
        else:
            sites = cython_sites.sites(text, gates)
        draw = random.Random(f"{seed} {name}")
        functions = {}
        for site in sites:
            if only in f"{name}:{site[0]}":
                functions.setdefault(site[0], []).append(site)
        lists = [draw.sample(some, len(some)) for some in functions.values()]
        draw.shuffle(lists)
        drawn = [site for turn in zip_longest(*lists) for site in turn if site]
        found[name] = [mutant(name, number, text, *site) for number, site in enumerate(drawn)]
    return {name: mutants for name, mutants in found.items() if mutants}


def mutant(name, number, text, function, start, end, replacement):
    first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    lines = text[first:last], text[first:start] + replacement + text[end:last]
    before, after = (" ".join(line.split()) for line in lines)
    line = text.count("\n", 0, start) + 1
    return Mutant(name, number, function, line, before, after, text[:first] + lines[1] + text[last:])


def shares(mutants, sample, seed):
    """Return {path: how many mutants}."""
    if sample is None:
        functions = {name: len({m.function for m in some}) for name, some in mutants.items()}
        return {name: min(len(some), max(LEAST, PER_FUNCTION * functions[name])) for name, some in mutants.items()}
    order, found = random.Random(seed).sample(sorted(mutants), len(mutants)), dict.fromkeys(mutants, 0)
    while sum(found.values()) < min(sample, sum(map(len, mutants.values()))):
        for name in order:
            found[name] += found[name] < len(mutants[name]) and sum(found.values()) < sample
    return found
