"""Is what you wrote right, and if not, where?

    python experiments/exercise.py 3                    judges experiments/exercises/3_max_pool_gradient.py
    python experiments/exercise.py 3 --file mine.py     judges another file
    python experiments/exercise.py                      all eight, a line each

`make exercise N=3` does the first; each answers within seconds. docs/exercises.md lists the exercises. Where only the
package is installed, `convnet-exercise 3` copies the exercise to exercises/ in the current directory, and judges that.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from convnet.cli import run_command
from convnet.exercises import EXERCISES, Exercise, Judgement, function_in, in_a_word, judge, told
from convnet.report import text_table
from convnet.settings import require

SHIPPED = Path(__file__).resolve().parent / "exercises"
CHECKOUT = not (SHIPPED.parents[1] / "__init__.py").exists()
"""Whether the files are the reader's to write in; where this is a part of the installed package, a copy is."""
RIGHT, WRONG, NOT_WRITTEN = 0, 1, 2


@dataclass(frozen=True)
class Command:
    """Compare a function that you wrote with the library's own, and a gradient with finite differences, too: says which
    entries are wrong and what the mistake may be. Exit code 0: right, 1: wrong, 2: not written yet."""

    number: Annotated[int | None, tyro.conf.Positional] = None
    """Of the exercise. Default: all, a line each."""
    file: Path | None = None
    """The file that has the function. Default: the exercise's own."""


def exercise(command: Command) -> int:
    if command.number is None:
        require(command.file is None, "file", str(command.file), "the number of an exercise before it")
        return _all()
    listed = "; ".join(f"{number} {one.title}" for number, one in EXERCISES.items())
    require(command.number in EXERCISES, "number", command.number, f"one of {listed}")
    chosen = EXERCISES[command.number]
    path = command.file or _own(chosen)
    judgement = judge(chosen, function_in(path, chosen.function))
    said, gap = told(judgement), "\n\n" if judgement.wrong else " "
    print(f"Exercise {chosen.number}, {chosen.title} ({path}):{gap}{said}")
    return code_of(judgement)


def code_of(judgement: Judgement) -> int:
    if not judgement.written:
        return NOT_WRITTEN
    return RIGHT if judgement.right else WRONG


def _own(one: Exercise) -> Path:
    """The exercise's file; a copy in the current directory, made if need be, where the shipped one is installed."""
    shipped = SHIPPED / one.file
    if CHECKOUT:
        here = Path.cwd()
        return shipped.relative_to(here) if shipped.is_relative_to(here) else shipped
    copy = Path("exercises", one.file)
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(shipped, copy)
    return copy


def _all() -> int:
    """A line for each exercise. Returns the code of the worst: wrong, then not written, then right."""
    rows, codes = [], set()
    for one in EXERCISES.values():
        path = _own(one)
        try:
            judgement = judge(one, function_in(path, one.function))
            said, code = in_a_word(judgement), code_of(judgement)
        except ValueError as error:
            said, code = str(error), WRONG
        rows.append([f"{one.number}. {one.title}", str(path), said])
        codes.add(code)
    print(text_table([["exercise", "file", ""], *rows]))
    return next(code for code in (WRONG, NOT_WRITTEN, RIGHT) if code in codes)


def main(args: Sequence[str] | None = None) -> int:
    return run_command(Command, exercise, args)


if __name__ == "__main__":
    sys.exit(main())
