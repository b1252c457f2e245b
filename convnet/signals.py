"""SIGINT (Ctrl-C), SIGTERM (Slurm, systemd, a container's end) and SIGHUP (a closed terminal) as a wish, granted when
an epoch is written down."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEARD = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
USUAL = (signal.SIG_DFL, signal.default_int_handler)
"""Handlers that we stand in for. A program's own, or a signal that it ignores, is left as it is."""


class StopRequest:
    """What a run asks after each epoch: whether it is to end."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """The signal that asked, where one did."""
        self._asked = threading.Event()

    def __bool__(self) -> bool:
        return self._asked.is_set()

    def ask(self, number: int | None = None) -> None:
        self.signal = self.signal or number
        self._asked.set()


@contextmanager
def stop_requests(request: StopRequest | None = None) -> Iterator[StopRequest]:
    """Within it a first signal makes the `request` (None: a new one), and a second one raises KeyboardInterrupt.

    Only the main thread can listen: elsewhere the request that this gives is one that no signal makes.
    """
    request = StopRequest() if request is None else request
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def heard(number: int, frame) -> None:
        if request:
            raise KeyboardInterrupt
        request.ask(number)
        with suppress(OSError):  # not print: a signal may come in the middle of another one
            os.write(2, b"\nstopping after this epoch, which is saved first; the same signal again stops at once\n")

    before = {number: signal.getsignal(number) for number in HEARD}
    ours = [number for number in HEARD if before[number] in USUAL]
    for number in ours:
        signal.signal(number, heard)
    try:
        yield request
    finally:
        with suppress(ValueError):  # a generator may be closed by another thread
            for number in ours:
                signal.signal(number, before[number])
