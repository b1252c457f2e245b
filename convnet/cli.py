"""The command line of every experiment and script: a frozen dataclass in, an exit code out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import tyro
from jax.errors import JaxRuntimeError

from convnet.allocator import keep_memory
from convnet.journal import Stopped


def run_command(
    settings: type,
    run: Callable[[Any], Any],
    args: Sequence[str] | None = None,
    *,
    going_on: str = "",
    defaults: Callable[[Sequence[str]], Any] | None = None,
) -> int:
    """Read `settings` from the command line and `run` them.

    going_on: what to add to the command, or do, to go on after an interruption; empty where it starts anew.
    defaults: (arguments) -> the `settings` that they change. None: those of the class.

    Returns what `run` returned if that is an int, else 0; 2 with the error's message on standard error for bad input
    (ValueError, OSError, OverflowError) and where memory does not suffice; 130 when interrupted (143 by SIGTERM). The
    environment variable CONVNET_TRACEBACK=1 lets the exception through instead.
    """
    args = sys.argv[1:] if args is None else args
    with suppress(AttributeError, ValueError):  # something else than a stream of text stands in its place, or a closed
        sys.stdout.reconfigure(errors="replace")  # a name that a terminal cannot show costs no result
    try:
        _refuse_empty(args)
        base = {"default": defaults(args)} if defaults else {}
        values = tyro.cli(settings, prog=Path(sys.argv[0]).name, args=args, **base)
        keep_memory()  # before anything is computed
        code = run(values)
    except (ValueError, OSError, OverflowError, MemoryError, JaxRuntimeError) as error:
        if os.environ.get("CONVNET_TRACEBACK") or not (message := _message(error)):
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        hint = f"{going_on} goes on from there" if stopped.saved else f"{going_on} begins it anew"
        print(f"\n{stopped}{f'; {hint}' if going_on else ''}", file=sys.stderr)
        return 128 + (stopped.signal or signal.SIGINT)
    except KeyboardInterrupt:
        hint = f"; {going_on} goes on from what is saved" if going_on else ""
        print(f"\ninterrupted{hint}", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _refuse_empty(args: Sequence[str]) -> None:
    """An empty value is a variable that was not set: as a path it would be the directory that one happens to be in."""
    before = "an argument"
    for arg in args:
        flag, equals, value = arg.partition("=") if arg.startswith("--") else (before, "=", arg)
        if equals and not value.strip():
            raise ValueError(f"{flag} is {value!r}: expected a value")
        before = arg if arg.startswith("--") else before


def _message(error: Exception) -> str:
    """One line for people; empty for an error that is no fault of theirs."""
    if isinstance(error, MemoryError) or (isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)):
        detail = next(iter(str(error).splitlines()), "").removeprefix("RESOURCE_EXHAUSTED: ")
        return f"memory does not suffice for these settings{f' ({detail})' if detail else ''}"
    return "" if isinstance(error, JaxRuntimeError) else str(error) or type(error).__name__
