"""Where C source can be broken, and how: the arithmetic of kernels, the decisions of the rest.

Design
A. The bodies of all functions are searched. The expressions NAME, NAME_dx and NAME_dy of a table are one body, the row
   NAME. A new row or kernel needs no edit here.
B. A mutant of a kernel stays inside its arrays and ends: conditions and steps of loops, subscripts and integer arithmetic
   are left alone; a pointer loses its offset as a whole. Scalar arithmetic is mutated where an operand is declared as a
   number with a fraction, or as unsigned.
C. Where threads, parts and ISAs are chosen there is nothing but integers and conditions, and those are mutated. Conditions
   of `while` stay (most of them only wait), and so do calls that set up what zeros are as good for, or free it at the end.
D. Left alone are functions named as in SPEED and prefetches: what they do cannot change a result.
"""

import re

# NAME of v_NAME(0, 1, 2), w_NAME(...), u_NAME(...), e_NAME(...), p_NAME(...) -> replacements; {v} is the letter. Other calls that map
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

SPEED = r"cost|prefetch|relax|leave_processor|fma_chains"  # of the name of a function
FEW = 3  # sites of a function; with fewer, what it returns is doubled too, unless it is a code: twice an error is an error


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
                name = re.search(r"(?:\b[A-Z_]+\()?(\w+?)(?:_d[xy])?[(),]", code[header:opened])[1]
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
    for m in re.compile(r"\b(?:([epuvw])_(\w+)|[EW]_[A-Z]\w*|\w+_[vw])\(").finditer(code, start, end):
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


# Operators of code that decides, and what they become.
DECISIONS = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "&&": "||", "||": "&&",
             "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "+=": "-=", "-=": "+=", "&": "|"}  # fmt: skip
SETTING_UP = r"\w*(?:init|free|destroy)\w*"


def decision_sites(code, start, end):
    """Yield (start, end, replacement) of the sites of code that decides instead of computing."""

    def matches(pattern):
        return re.compile(pattern).finditer(code, start, end)

    waits = [(m.end(), until(code, m.end())) for m in matches(r"\bwhile \(")]
    for m in matches(r"\bif \("):
        stop = until(code, m.end())
        if len(re.findall(r" (?:[=!<>]=|[<>]) ", code[m.end() : stop])) != 1:  # one comparison is turned round below
            yield m.end(), stop, f"!({code[m.end() : stop]})"
    for m in matches(r"(?<= )(==|!=|<=|>=|<|>|&&|\|\||[-+*/%&]|[-+]=)(?= )"):
        if not any(first <= m.start() < last for first, last in waits):
            yield m.start(), m.end(), DECISIONS[m[0]]
    for m in matches(r"(?<=[;{})\n])( *)((\w+)\((?:[^;{}])*\)|[\w>.-]+(?:->|\.)\w+ = [^;]*|\w+(?:->\w+)?(?:\+\+|--));"):
        if not re.fullmatch(SETTING_UP + "|if|for|while|return", m[3] or ""):
            yield m.start(2), m.end(2), ""
    for m in matches(r"(?<=return )[01](?=;)|(?<= = )[01](?=;)"):
        yield m.start(), m.end(), "10"[int(m[0])]
    for m in matches(r"(?<=return )([^;]{2,})(?=;)"):
        yield m.start(), m.end(), m[1][1:] if m[1][0] == "!" else "0"


def sites(text, computes):
    """Return (function, start, end, replacement) of every site; computes: the file belongs to kernels."""
    code, found = without_comments(text), set()
    for name, bodies in bodies_of(code).items():
        here = set()
        if re.search(SPEED, name):
            continue
        for header, start, end in bodies:
            if computes:
                here.update(call_sites(code, start, end))
            else:
                here.update(decision_sites(code, start, end))
            here.update(text_sites(code, header, start, end))
        if computes and len(here) < FEW:  # twice the result
            bodies = [body for body in bodies if not re.match(r"static (?:FNN_INLINE )?int ", code[body[0] :])]
            returns = (m for body in bodies for m in re.compile(r"\breturn (?!0|FNN)([^;]*)").finditer(code, *body[1:]))
            here.update((m.start(1), m.end(1), f"({m[1]}) + ({m[1]})") for m in returns)
        found.update((name, *site) for site in here if "PREFETCH" not in code[code.rfind("\n", 0, site[0]) : site[1]])
    return sorted(found, key=lambda site: site[1:])
