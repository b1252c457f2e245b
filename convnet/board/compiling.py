"""Functions compiled for a few runs, at points that they may refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from convnet.gradcheck.compiled import QUICK


def quick(f: Callable) -> Callable:
    """Compiled in a third of the time. Reverse mode in float64 is compiled as users have it."""
    return jax.jit(f, compiler_options=QUICK)


def together(programs: Mapping[str, Callable]) -> dict[str, Callable]:
    """Functions of one and the same point, compiled as one program, which takes much less than one by one; where some
    of them fail, the others by themselves."""
    whole, known = quick(lambda *args: {way: f(*args) for way, f in programs.items()}), {}

    def called(way: str, alone: Callable) -> Callable:
        def call(*args):
            place = tuple(map(id, args))
            if place not in known:
                try:
                    known[place] = args, whole(*args)
                except Exception:
                    known[place] = args, None
            found = known[place][1]
            return alone(*args) if found is None else found[way]

        return call

    return {way: called(way, quick(f)) for way, f in programs.items()}


def each(f: Callable, every: Sequence[tuple | None], shape: tuple[int, ...] = (-1,)) -> list[np.ndarray | None]:
    """None where there is no point, or the function refuses it, as `max` does an empty array; raises what it says if it
    refuses all."""
    found, refused = [], None
    for args in every:
        try:
            found.append(None if args is None else np.asarray(f(*args), np.float64).reshape(shape))
        except Exception as error:
            found.append(None)
            refused = error
    if refused is not None and all(result is None for result in found):
        raise refused
    return found


def first_line(error: Exception) -> str:
    """What an error says, by its type and the first line of its message, as far as a table has room."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:160]
