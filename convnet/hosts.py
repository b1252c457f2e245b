"""Several processes that compute one run (`python -m convnet.launch`): what one of them finds, all know.

All run the same program, and meet wherever arrays are summed up. So none may leave it alone: what only the first does,
such as writing, it tells the others, errors too (`shared`); what each does for itself, such as reading data, fails on
all where it fails on one (`everywhere`); and they compare notes before they begin (`agree`). In a single process each
of these is the plain call.
"""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from convnet.settings import differences

T = TypeVar("T")


def several() -> bool:
    """Whether this process is one of several; does not start JAX where it is alone."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return not several() or jax.process_index() == 0


def shared(act: Callable[[], T]) -> T:
    """What `act` returns on the first process, which alone calls it; others get a copy. What it raises, all raise."""
    if not several():
        return act()
    found, outcome = None, b""
    if is_first():
        found, error = _outcome(act)
        outcome = _pickled(found, error)
    value, error = pickle.loads(_from_first(outcome))
    if error is not None:
        raise _known(error)
    return found if is_first() else value


def everywhere(act: Callable[[], T]) -> T:
    """What `act` returns here; all processes call it. Where one fails, all raise, and say which."""
    if not several():
        return act()
    found, error = _outcome(act)
    outcomes = [pickle.loads(told) for told in _from_all(_pickled(socket.gethostname(), error))]
    for process, (host, error) in enumerate(outcomes):
        if error is not None:
            raise _known(type(error)(f"{error} (process {process}, on {host})"))
    return found


def agree(facts: Callable[[], Mapping[str, Any]]) -> None:
    """ValueError on all processes unless `facts`, plain JSON values, are the same on all: it names what differs. They
    are asked for where there are several processes."""
    if not several():
        return
    told = [json.loads(text) for text in _from_all(json.dumps([socket.gethostname(), facts()]).encode())]
    (first_host, first), *others = told
    for process, (host, own) in enumerate(others, 1):
        for name, (there, here) in differences(first, own).items():
            raise _known(ValueError(
                f"processes differ in {name}: {there!r} on process 0 ({first_host}), {here!r} on {process} ({host})"
            ))  # fmt: skip


def anywhere(flag: bool) -> bool:
    """Whether `flag` is true on any process."""
    return any(told == b"1" for told in _from_all(b"1" if flag else b"0")) if several() else flag


def speaks(error: BaseException) -> bool:
    """Whether this process is to print `error`: what all know, only the first one tells."""
    return is_first() or not getattr(error, "known_to_all", False)


def _outcome(act: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return act(), None
    except Exception as error:
        return None, error


def _pickled(value: Any, error: Exception | None) -> bytes:
    try:
        told = pickle.dumps((value, error))
        pickle.loads(told)  # an exception may be written so that it cannot be read
    except Exception:
        kind = next(
            kind for kind in (ValueError, OSError, RuntimeError) if isinstance(error, kind) or kind is RuntimeError
        )
        return pickle.dumps((None, kind(str(error))))
    return told


def _known(error: Exception) -> Exception:
    error.known_to_all = True
    return error


def _from_first(message: bytes) -> bytes:
    """The first process's message, on all."""
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    buffer = np.zeros(_room(size), np.uint8)
    if is_first():
        buffer[:size] = np.frombuffer(message, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer))[:size].tobytes()


def _from_all(message: bytes) -> list[bytes]:
    """The messages of all processes, in their order."""
    from jax.experimental import multihost_utils

    sizes = np.asarray(multihost_utils.process_allgather(np.int32(len(message)))).reshape(-1)
    buffer = np.zeros(_room(int(sizes.max())), np.uint8)
    buffer[: len(message)] = np.frombuffer(message, np.uint8)
    told = np.asarray(multihost_utils.process_allgather(buffer))
    return [row[:size].tobytes() for row, size in zip(told, sizes, strict=True)]


def _room(size: int) -> int:
    """The next power of two: every length is a program of its own."""
    return 1 << max(size - 1, 1).bit_length()
