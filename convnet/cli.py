"""The command line of every experiment and script: a frozen dataclass in, an exit code out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from convnet.allocator import keep_memory


def run_command(
    settings: type, run: Callable[[Any], Any], args: Sequence[str] | None = None, *, going_on: str = ""
) -> int:
    """Read `settings` from the command line and `run` them.

    going_on: what to add to the command, or do, to go on after an interruption; empty where it starts anew.

    Returns what `run` returned if that is an int, else 0; 2 with the error's message on standard error for bad input
    (ValueError, OSError); 130 when interrupted. The environment variable CONVNET_TRACEBACK=1 lets the exception through
    instead.
    """
    values = tyro.cli(settings, prog=Path(sys.argv[0]).name, args=args, config=(tyro.conf.FlagCreatePairsOff,))
    keep_memory()  # before anything is computed
    try:
        code = run(values)
    except (ValueError, OSError) as error:
        if os.environ.get("CONVNET_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        hint = f"; {going_on} goes on from here" if going_on else ""
        print(f"\ninterrupted{hint}", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0
