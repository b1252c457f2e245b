"""What the reader wrote: a function out of a file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from convnet.exercises.judge import Function, told_error


def function_in(path: Path, name: str) -> Function:
    """The function `name` that the Python file at `path` defines.

    Raises ValueError, in one line, where there is no such file, it cannot be run, or has no such function.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    module = ModuleType(f"exercise {path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for what their annotations mean
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise ValueError(f"{path} is not Python: {error.msg} (line {error.lineno})") from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} cannot be run: {told_error(error, str(path))}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"{path} has no function {name}")
    return function
