"""What is read at one go: a module has at most 300 lines, a function 40 besides its docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("convnet", "experiments", "scripts", "benchmarks")
MODULE, FUNCTION = 300, 40


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def too_long(source: str) -> list[str]:
    """Names of what is, "module" for the whole."""
    found = ["module"] if source.count("\n") > MODULE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            if node.end_lineno - node.lineno + 1 - told > FUNCTION:
                found.append(node.name)
    return found


def test_nothing_is_longer():
    found = {path.relative_to(ROOT).as_posix(): too_long(path.read_text(encoding="utf-8")) for path in sources()}
    assert len(found) > 400
    assert {path: names for path, names in found.items() if names} == {}


def test_what_is_longer_is_found():
    lines = "".join(f"    x = {i}\n" for i in range(FUNCTION - 2))
    told = '    """What\n\n    it does."""\n'
    assert too_long("def f(\n    x,\n):\n" + told + lines[: lines.rindex("    x")]) == []
    assert too_long("def f(\n    x,\n):\n" + told + lines) == ["f"]
    assert too_long("\n" * MODULE) == []
    assert too_long("\n" * MODULE + "\n") == ["module"]
