"""Many seeds of one config, and many values of its traced settings: in as many threads as there are processors, or side
by side in one program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.allocator import keep_memory
from convnet.config import RunConfig, require
from convnet.data import Dataset
from convnet.journal import Journal, Stopped, can_go_on
from convnet.result import RunResult, conclude
from convnet.run import Trainer
from convnet.signals import StopRequest, stop_requests
from convnet.threads import processors
from convnet.train import EpochRecord, NonFiniteLoss

Outcome = RunResult | NonFiniteLoss
"""How a replicate ends. Divergence is an outcome, not an error: its siblings go on."""

OnEpoch = Callable[[RunConfig, EpochRecord], None]


class Replicates(Trainer):
    """The programs of one config for many replicates. Each draws its initial weights, order, augmentation and dropout
    from its own root key, exactly as `Trainer(config).run(seed)` does.

    vmapped: train up to `chunk` replicates in lockstep, in one program (`jax.vmap`). Otherwise each is a run of its own
        through the one program of a single run, `workers` of them at a time. None: vmapped wherever JAX does not
        compute on the CPU. There, a run leaves processors idle that its siblings can use, and a batched program only
        moves more memory.
    chunk: bounds the memory of lockstep, which grows with the replicates in flight.
    workers: threads. None: one per processor.

    Bits. Each on its own, results are those of `Trainer`, bit for bit. In lockstep, XLA may order the sums of a batched
    product differently, so they part from the single run by rounding, which training then amplifies as it does any
    rounding; but neither its place nor its siblings' values change what a replicate gets, only their number.

    Raises ValueError for what `Trainer` refuses, and a chunk or number of workers below 1.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        *,
        vmapped: bool | None = None,
        chunk: int = 16,
        workers: int | None = None,
        **settings,
    ):
        require(chunk >= 1, "chunk", chunk, "1 or more")
        require(workers is None or workers >= 1, "workers", workers, "1 or more")
        keep_memory()  # before JAX looks at its devices
        self.vmapped = jax.default_backend() != "cpu" if vmapped is None else vmapped
        self.chunk, self.workers = chunk, workers or processors()
        super().__init__(config, dataset, **settings)

    def _prepare(self) -> None:
        """Nothing yet: which programs there are to be depends on how many replicates are asked for."""

    def run_all(
        self,
        configs: Sequence[RunConfig],
        on_epoch: OnEpoch = lambda config, record: None,
        *,
        directory: Callable[[RunConfig], Path] | None = None,
    ) -> Iterator[tuple[RunConfig, Outcome]]:
        """Train every config, and hand out each with its outcome as it is done, in order.

        configs: this one's, but for the seed and the traced settings.
        on_epoch: never called from two threads at a time.
        directory: where each is to leave its records. On its own, it goes on with what it finds there, unless that was
            made otherwise (by other code, versions or traced settings); in lockstep all begin anew.

        Raises ValueError, before anything runs, for a config that differs in anything else, naming it; OtherRun
        where a directory holds another run; OSError where one is full.
        """
        for config in configs:
            self.check_shared(config)
        run = self._run_in_lockstep if self.vmapped else self._run_each
        return run(list(configs), on_epoch, directory)

    # --- each on its own ----------------------------------------------------------------------------------------------

    def _run_each(self, configs, on_epoch, directory) -> Iterator[tuple[RunConfig, Outcome]]:
        self.programs()  # before several threads ask for it
        one_at_a_time, stop = threading.Lock(), StopRequest()

        def run(config: RunConfig) -> Outcome:
            def note(record: EpochRecord) -> None:
                if stop and directory is None:
                    raise Stopped(record.epoch, config.train.epochs)
                with one_at_a_time:
                    on_epoch(config, record)

            if stop:
                raise Stopped(0, config.train.epochs)
            try:
                where = {} if directory is None else self._begun(directory(config), config)
                return self.run_as(config, note, stop=stop, **where)
            except NonFiniteLoss as diverged:
                return diverged

        with stop_requests(stop), ThreadPoolExecutor(self.workers, thread_name_prefix="replicate") as pool:
            futures = [pool.submit(run, config) for config in configs]
            try:
                for config, future in zip(configs, futures, strict=True):
                    yield config, future.result()
            finally:
                stop.ask()
                pool.shutdown(cancel_futures=True)

    def _begun(self, path: Path, config: RunConfig) -> dict[str, Any]:
        """Options of `run_as` by which a run in `path` goes on if it would have the same bits, else begins anew."""
        return dict(directory=path, resume=can_go_on(path, self.identity(config)))

    # --- in lockstep --------------------------------------------------------------------------------------------------

    def _run_in_lockstep(self, configs, on_epoch, directory) -> Iterator[tuple[RunConfig, Outcome]]:
        for start, width in _chunks(len(configs), self.chunk):
            chunk = configs[start : start + width]
            self.programs(width)
            with self._precision(), stop_requests() as stop, ExitStack() as stack:
                lanes = [_Lane(config, self.named(config), on_epoch) for config in chunk]
                if directory is not None:
                    for lane in lanes:
                        can_go_on(directory(lane.config), self.identity(lane.config, width))  # refuses those of others
                        journal = self.journal(directory(lane.config), lane.config, replicates=width)
                        lane.journal = stack.enter_context(journal)
                outcomes = self._train_lanes(lanes, width, stop)
            yield from zip(chunk, outcomes, strict=True)

    def _train_lanes(self, lanes: list[_Lane], width: int, stop: StopRequest) -> list[Outcome]:
        """Train `lanes` in one program that has room for `width`: the last of them fills it up, which costs less than
        compiling another width."""
        configs = [lane.config for lane in lanes] + [lanes[-1].config] * (width - len(lanes))
        programs = self.programs(width)
        keys, values = self._inputs(configs, width)
        states = programs.init(keys, values)
        best = jax.tree.map(jnp.copy, states.variables)
        for number in range(1, self.config.train.epochs + 1):
            start = time.perf_counter()
            states, infos = jax.block_until_ready(programs.epoch(states, values, *self._train))
            seconds = (time.perf_counter() - start) / width
            validation, _ = programs.validate(states.variables, values, *self._validation)
            infos, validation = jax.tree.map(np.asarray, (infos, validation))
            # Only what is written down is worth the way to the host.
            variables = jax.tree.map(np.asarray, states.variables) if lanes[0].journal is not None else None
            last = int(states.step[0])
            better = np.zeros(width, bool)
            for i, lane in enumerate(lanes):
                accuracy = int(validation["hits"][i]) / len(self.dataset.validation)
                judged = (float(validation["loss"][i]), accuracy)
                better[i] = lane.add(number, last, _of(infos, i), judged, _of(variables, i), seconds)
            best = _keep(jnp.asarray(better), states.variables, best)
            if all(lane.failure for lane in lanes):
                break
            if stop and number < self.config.train.epochs:
                raise Stopped(number, self.config.train.epochs, signal=stop.signal)
        test, logits = programs.examine(best, values, *self._test)
        best, test, logits = jax.tree.map(np.asarray, (best, test, logits))
        return [
            lane.outcome(_of(best, i), _of(test, i), logits[i], self.compile_seconds) for i, lane in enumerate(lanes)
        ]


@dataclass
class _Lane:
    """What `train.fit` keeps for a run alone, for one replicate among many: the same records, choice and verdict.

    config: as it was asked for; named: with the name of the data."""

    config: RunConfig
    named: RunConfig
    on_epoch: OnEpoch
    journal: Journal | None = None
    records: list[EpochRecord] = field(default_factory=list)
    failure: NonFiniteLoss | None = None
    best_epoch: int = 0
    _best: tuple[float, float] = (-np.inf, -np.inf)

    def add(self, epoch: int, last: int, infos: dict, validation: tuple, variables, seconds: float) -> bool:
        """Take in an epoch that ended with step `last`; whether it is the best on validation so far.

        validation: (loss, accuracy)."""
        if self.failure is not None:
            return False
        bad = ~(np.isfinite(infos["loss"]) & np.isfinite(infos["grad_norm"]))
        (loss, accuracy), first = validation, last - len(bad) + 1
        if bad.any() or not np.isfinite(loss):
            at = first + int(np.argmax(bad)) if bad.any() else last
            self.failure = NonFiniteLoss(at=at, epoch=epoch, first=first, last=last)
            if self.journal is not None:
                self.journal.fail(self.failure)
            return False
        means = {name: float(infos[name].mean()) for name in ("loss", "accuracy", "grad_norm")}
        self.records.append(
            EpochRecord(epoch, last, means["loss"], means["accuracy"], means["grad_norm"], loss, accuracy, seconds)
        )
        if self.journal is not None:
            self.journal.write(self.records[-1], variables)
        self.on_epoch(self.config, self.records[-1])
        if (accuracy, -loss) <= self._best:
            return False
        self._best, self.best_epoch = (accuracy, -loss), epoch
        return True

    def outcome(self, variables, test: dict, logits: np.ndarray, compile_seconds: float) -> Outcome:
        """variables: the best on validation."""
        if self.failure is not None:
            return self.failure
        result = RunResult(
            config=self.named,
            records=tuple(self.records),
            variables=variables,
            best_epoch=self.best_epoch,
            test_loss=float(test["loss"]),
            test_hits=int(test["hits"]),
            test_logits=logits,
            compile_seconds=compile_seconds,
        )
        if self.journal is not None:
            conclude(self.journal, result)
        return result


@jax.jit
def _keep(better, new, old):
    """Leaves [R, …] of `new` where `better` [R], of `old` elsewhere."""
    return jax.tree.map(lambda n, o: jnp.where(better.reshape(-1, *[1] * (n.ndim - 1)), n, o), new, old)


def _of(tree, i: int):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def _chunks(n: int, largest: int) -> list[tuple[int, int]]:
    """(start, width) of the fewest chunks of one width, at most `largest`, that cover n."""
    width = -(-n // max(-(-n // largest), 1))
    return [(start, width) for start in range(0, n, width)] if n else []
