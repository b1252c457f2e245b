"""A journal that the first of several processes keeps, and that all of them go by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from convnet import hosts
from convnet.journal import Journal
from convnet.signals import StopRequest
from convnet.train import Fit, TrainState
from convnet.train.host import from_host, to_host

T = TypeVar("T")


class SharedJournal:
    """What a run asks of its `Journal`, which the first process opens by `opened(stop=…)`. A process alone has that.

    stop: of this process; a wish of any is granted by all.
    """

    def __init__(self, opened: Callable[..., Journal], stop: StopRequest):
        self._stop, self._journal = stop, None

        def open_() -> None:
            self._journal = opened(stop=stop)

        hosts.shared(open_)

    def write(self, act: Callable[[Journal], T]) -> T:
        """What `act` does with the journal, on the first process alone. What it raises, all raise."""
        return hosts.shared(lambda: act(self._journal))

    def begin(self, state: TrainState) -> TrainState | Fit:
        """As `Journal.begin`: where the run stood, on all processes."""
        if not hosts.several():
            return self._journal.begin(state)
        found = self.write(lambda journal: _told(journal.begin(state)))
        if found is None:
            return state
        arrays, best_epoch, records = found
        return Fit(*from_host(arrays, state, Path("checkpoint")), best_epoch, records)

    def keep(self, fit: Fit) -> None:
        """As `Journal.keep`."""
        if hosts.anywhere(bool(self._stop)):
            self._stop.ask()
        self.write(lambda journal: journal.keep(fit))

    def __enter__(self) -> SharedJournal:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._journal is not None:
            self._journal.__exit__(*error)


def _told(start: TrainState | Fit) -> tuple | None:
    """Where a run stands, in NumPy arrays."""
    if not isinstance(start, Fit):
        return None
    return to_host(start.state, start.best_variables), start.best_epoch, start.records
