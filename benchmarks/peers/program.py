"""What a peer hands out: something that can be called and timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Unsupported(Exception):
    """The peer has no such thing."""


@dataclass(frozen=True)
class Program:
    """`run(calls)` calls that often and waits for the last result; it returns the loss of the last call's first step
    (None for an op). A call does `units` steps, replicates or ops."""

    run: Callable[[int], float | None]
    units: int = 1
    device_bytes: Callable[[], int | None] = lambda: None
    """After a call: what it takes of an accelerator's memory at most, data included; None where that is not known."""


@dataclass(frozen=True)
class Loaded:
    """A peer in its process: what builds its programs, where it computes, and the bytes it took at most so far."""

    build: Callable[[Any], Program]
    device: str
    memory: Callable[[], int]
