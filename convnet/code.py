"""Digests of source code: which sources a module imports, directly or not, and what is in them."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

STEP = ("convnet.task", "convnet.train.programs", "convnet.train.loop")
"""What a run computes, and which epoch it keeps, is all in what these modules import."""


def code_hash(folder: Path, roots: Sequence[str] = STEP) -> str:
    """SHA-256 over names and content of the sources that decide bits: what a commit does not tell where the tree was
    changed since. They are those of the package in `folder` that `roots` import, directly or not; a figure's or an
    experiment's are none of them, so a wheel, which has the experiments in another place, has the hash of its checkout.
    """
    digest = hashlib.sha256()
    for path in import_closure(folder, roots):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def script_hash(script: Path) -> str:
    """SHA-256 over the code of the file `script`, not over its docstring, which may tell what it found, and over the
    library's sources that it imports, directly or not."""
    folder, tree = Path(__file__).resolve().parent, ast.parse(script.read_bytes())
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    digest = hashlib.sha256(ast.dump(tree).encode())
    digest.update(code_hash(folder, sorted(set(_imports(folder, script)))).encode())
    return digest.hexdigest()


def import_closure(folder: Path, roots: Sequence[str]) -> list[Path]:
    """Sources under `folder`, the package convnet, that the modules `roots` import, directly or not, and their own."""
    found, waiting = set(), [_source(folder, root) for root in roots]
    while waiting:
        path = waiting.pop()
        if path is not None and path not in found:
            found.add(path)
            waiting += [_source(folder, name) for name in _imports(folder, path)]
    return sorted(found)


def _imports(folder: Path, path: Path) -> Iterator[str]:
    """Names of modules; of `from a import b` it is a.b where that is one, else a."""
    for module, name in _import_statements(path.read_bytes()):
        full = f"{module}.{name}"
        yield full if name and _source(folder, full) else module


@cache
def _import_statements(source: bytes) -> list[tuple[str, str]]:
    """(module, "") of `import module`, and (module, name) of `from module import name`.

    Parsing is most of a digest, and the next digest is mostly of the same sources.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
    return found


def _source(folder: Path, module: str) -> Path | None:
    """The file of `module`; None for what is not the package's."""
    first, *parts = module.split(".")
    places = (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py"))
    return next((place for place in places if first == "convnet" and parts and place.is_file()), None)
