"""Where Cython source can be broken, and how: conditions, operators, constants, gates, statements.

Design
A. Lines are read by regular expressions after strings and comments are blanked; positions stay. A statement ends where its
   brackets are closed.
B. A gate, a function of the module that takes an ndarray first and returns one, becomes its first argument: each conversion
   and each copy must be missed by a test.
C. As in Python, a comparison before a `raise` moves by one and others are turned round.
"""

import re

OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "is": "is not", "is not": "is",
            "in": "not in", "not in": "in"}  # fmt: skip
EDGE = OPPOSITE | {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
WORDS = {"and": "or", "or": "and", "True": "False", "False": "True", "max": "min", "min": "max",
         "+": "-", "-": "+", "*": "+", "//": "*", "+=": "-=", "*=": "+="}  # fmt: skip
# A statement that can go: a raise, a call, an assignment to a part of something, a name made anew from itself.
REMOVED = r"raise\b|(?!cdef|include)[\w.]+\(.*\)\s*$|\w+(?:\.\w+|\[[^]]*\]) = |(\w+) = (?=[^\n]*\b\1\b)"
COMPARISON = r"(?<= )(==|!=|<=|>=|<|>|is not|is|not in|(?<!for)in)(?= )"


def without_texts(text):
    """Blank strings and comments; positions stay."""
    pattern = r'"""(?s:.*?)"""|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*'
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def gates_of(texts):
    """Return the names of the functions that take an ndarray and return one."""
    return {name for text in texts for name in re.findall(r"cdef (?:inline )?ndarray (\w+)\((?:ndarray|object) ", text)}


def statements(code):
    """Yield (function, start, end) of each logical line, and `module` outside of functions."""
    function, start, depth = "module", 0, 0
    for m in re.finditer(r"(?:[^\n]*\\\n)*[^\n]*\n", code):
        if depth == 0:
            start = m.start()
        depth += sum(m[0].count(c) for c in "([{") - sum(m[0].count(c) for c in ")]}")
        if depth == 0 and m[0].strip():
            head = re.match(r"(?:cdef|cpdef|def) [^=]*?(\w+)\(", code[start : m.end()])
            if head:
                function = head[1]
            elif re.match(r"[^\s#]", code[start : m.end()]):
                function = "module"
            yield function, start + len(m[0]) - len(m[0].lstrip()) if start == m.start() else start, m.end() - 1


def closing(code, start):
    """Return where the bracket that is open at start closes."""
    depth = 1
    while depth:
        depth += (code[start] in "([{") - (code[start] in ")]}")
        start += 1
    return start - 1


def statement_sites(code, text, start, end, raises):
    """Yield (start, end, replacement) of a statement; raises: the next one is a `raise`."""
    line = code[start:end]
    first = start + len(line) - len(line.lstrip())
    word = re.match(r"\w*", code[first:end])[0]
    if re.match(REMOVED, code[first:end], re.DOTALL):
        yield first, end, "pass"
    if word == "raise":
        return
    if word == "return" and re.match(r"return (0|1|-1)$", code[first:end].rstrip()):
        yield first, end, {"0": "return -1"}.get(code[first:end].split()[1], "return 0")
    if word in ("if", "elif"):
        condition, colon = first + len(word) + 1, code.rindex(":", first, end)
        if not code[colon + 1 : end].strip() and len(re.findall(COMPARISON, code[condition:colon])) != 1:
            yield condition, colon, f"not ({text[condition:colon]})"
    begin = first
    if word in ("cdef", "def", "cpdef") and re.search(r"\)[^()]*:$", line.rstrip()):
        begin = end  # a header: only its defaults
        for m in re.finditer(r"=(True|False|0|1)\b", line):
            yield start + m.start(1), start + m.end(1), {"0": "1", "1": "0"}.get(m[1]) or WORDS[m[1]]
    for m in re.compile(COMPARISON).finditer(code, begin, end):
        if not (m[1] == "in" and re.search(r"\bfor [\w, ]+ $", code[begin : m.start()])):
            yield m.start(1), m.end(1), (EDGE if raises else OPPOSITE)[m[1]]
    for m in re.compile(r"(?<= )(and|or|\+|-|\*|//|\+=|\*=)(?= )|\b(True|False|max|min)\b(?!=)").finditer(
        code, begin, end
    ):
        yield m.start(), m.end(), WORDS[m[0]]
    counters = word == "cdef" and code[first - 1 : first] in ("", "\n")  # of the module; they may start anywhere
    for m in () if counters else re.compile(r"(?<=[ ([])(?<!return )-?[01](?=[]):, ]|$)").finditer(code, begin, end):
        yield m.start(), m.end(), {"0": "1", "1": "0", "-1": "0", "-0": "1"}[m[0]]


def sites(text, gates):
    """Return (function, start, end, replacement) of every site."""
    code, found = without_texts(text), []
    lines = list(statements(code))
    for i, (function, start, end) in enumerate(lines):
        following = code[lines[i + 1][1] : lines[i + 1][2]].split() if i + 1 < len(lines) else []
        raises = following[:1] == ["raise"]
        found += [(function, *site) for site in statement_sites(code, text, start, end, raises)]
        for m in re.compile(r"(?<!ndarray )\b(\w+)\(").finditer(code, start, end):
            if m[1] in gates and not code[start:end].lstrip().startswith("raise"):
                stop, argument, depth = closing(code, m.end()), m.end(), 0
                while argument < stop and (depth or code[argument] != ","):
                    depth += (code[argument] in "([{") - (code[argument] in ")]}")
                    argument += 1
                found.append((function, m.start(), stop + 1, text[m.end() : argument]))
    return found
