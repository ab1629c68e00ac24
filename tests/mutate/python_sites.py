"""Where Python source can be broken, and how: operators, constants, branches, slices, statements.

Design
A. Sites are nodes of the syntax tree and are replaced in the text, so that nothing else of a file changes.
B. Left alone is what changes no result: docstrings, annotations, texts, what a message or a repr is made of, imports for
   type checkers, and the arguments of KEYWORDS.
C. A comparison before a `raise` is moved by one, because the values at the edge of an argument's range matter; another one
   is turned round, because on its edge both branches often agree. Conditions of `while` stay: to turn one hangs the tests.
D. Whole numbers of SIZE and more that are multiples of it are lengths of buffers and the like; one more changes no result.
"""

import ast
from itertools import accumulate

SIZE = 64
KEYWORDS = {"stacklevel", "strict", "copy", "help", "metavar", "flush", "need_dx"}
UNSHOWN = {"__repr__", "__str__", "__dir__"}

OPPOSITE = {ast.Lt: ">=", ast.GtE: "<", ast.Gt: "<=", ast.LtE: ">", ast.Eq: "!=", ast.NotEq: "==",
            ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in"}  # fmt: skip
MOVED = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
BINARY = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*", ast.Pow: "*",
          ast.BitOr: "&", ast.BitAnd: "|", ast.LShift: ">>", ast.RShift: "<<", ast.MatMult: "*"}  # fmt: skip
CALLS = {"max": "min", "min": "max", "any": "all", "all": "any", "maximum": "minimum", "minimum": "maximum",
         "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "argmax": "argmin", "expm1": "exp", "log1p": "log"}  # fmt: skip


def is_text(node):
    return any(isinstance(n, ast.JoinedStr) or isinstance(getattr(n, "value", 0), str) for n in ast.walk(node))


class Sites(ast.NodeVisitor):
    """Collects (function, start, end, replacement) in `found`; positions are of characters."""

    def __init__(self, text):
        self.found, self.names, self.guard = [], [], None
        self.text, self.lines = text, text.splitlines(keepends=True)
        self.starts = [0, *accumulate(map(len, self.lines))]
        self.visit(ast.parse(text))

    def position(self, line, column):
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, node):
        return self.position(node.lineno, node.col_offset), self.position(node.end_lineno, node.end_col_offset)

    def source(self, node):
        return self.text[slice(*self.span(node))]

    def add(self, start, end, replacement):
        self.found.append((".".join(self.names) or "module", start, end, replacement))

    def replace(self, node, replacement):
        self.add(*self.span(node), replacement)

    def between(self, left, right, replacement):
        """Replace the operator between two operands, which brackets may surround."""
        start, end = self.span(left)[1], self.span(right)[0]
        while self.text[start] in " )\n":
            start += 1
        while self.text[end - 1] in " (\n":
            end -= 1
        if "#" not in self.text[start:end] and "\n" not in self.text[start:end]:
            self.add(start, end, replacement)

    def visit_scope(self, node):
        if node.name not in UNSHOWN:
            for decorator in node.decorator_list:
                self.visit(decorator)
            self.names.append(node.name)
            for child in (*([node.args] if hasattr(node, "args") else []), *node.body):
                self.visit(child)
            self.names.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_scope

    def visit_arguments(self, node):
        for default in filter(None, (*node.defaults, *node.kw_defaults)):
            self.visit(default)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node):
        if "TYPE_CHECKING" in self.source(node.test) or "__name__" in self.source(node.test):
            return
        self.negate(node.test, raises=isinstance(node.body[0], ast.Raise))
        self.visit_branches(node)

    def negate(self, test, raises=False):
        """Turn a condition round; before a `raise`, comparisons in it move by one."""
        before, self.guard = self.guard, raises
        if not isinstance(test, ast.Compare) or len(test.ops) > 1 or (raises and type(test.ops[0]) in MOVED):
            inner = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
            self.replace(test, self.source(test.operand) if inner else f"not ({self.source(test)})")
            if inner:
                test = test.operand
        self.visit(test)
        self.guard = before

    def visit_branches(self, node):
        for child in (*node.body, *node.orelse):
            self.visit(child)

    visit_While = visit_branches

    def visit_IfExp(self, node):
        self.negate(node.test)
        self.visit(node.body)
        self.visit(node.orelse)

    def visit_comprehension(self, node):
        self.visit(node.iter)
        for test in node.ifs:
            self.negate(test)

    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for i, operator in enumerate(node.ops):
            self.between(*operands[i : i + 2], (OPPOSITE | (MOVED if self.guard else {}))[type(operator)])
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, "or" if isinstance(node.op, ast.And) else "and")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if type(node.op) in BINARY and not is_text(node):
            self.between(node.left, node.right, BINARY[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, (ast.USub, ast.Not)):
            self.replace(node, "0" if self.source(node) == "-1" else self.source(node.operand))
        if not isinstance(node.operand, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self.replace(node, str(not value))
        elif isinstance(value, int) and not (value >= SIZE and value % SIZE == 0):
            self.replace(node, str(value - 1 if value == 1 else value + 1))
        elif isinstance(value, float):
            self.replace(node, f"{2 * value!r}" if value else "1.0")

    def visit_Slice(self, node):
        for bound in (node.lower, node.upper, node.step):
            if bound is not None:
                self.replace(bound, "")
                if not isinstance(bound, ast.Constant):
                    self.visit(bound)

    def visit_Call(self, node):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in CALLS:
            end = self.span(node.func)[1]
            self.add(end - len(name), end, CALLS[name])
        if name == "warn":
            return
        for child in (node.func, *node.args, *(k.value for k in node.keywords if k.arg not in KEYWORDS)):
            self.visit(child)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self.replace(node, "pass")
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_Raise(self, node):
        self.replace(node, "pass")

    def visit_Assign(self, node):
        if all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
            self.replace(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        if not is_text(node.value):
            self.replace(node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node):
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.replace(node, "return None")
            self.visit(node.value)

    def visit_JoinedStr(self, node):
        pass


def sites(text):
    """Return (function, start, end, replacement) of every site."""
    return Sites(text).found
