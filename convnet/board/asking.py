"""Asking at points that a function may refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


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
