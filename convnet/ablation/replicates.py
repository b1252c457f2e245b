"""Many seeds of one config, and many values of its traced settings: in as many threads as there are processors, or side
by side in one program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.config import ALL_DEVICES, MeshConfig, RunConfig
from convnet.data import Dataset
from convnet.journal import Journal, Stopped, can_go_on
from convnet.result import RunResult, conclude
from convnet.run import Trainer
from convnet.settings import require
from convnet.signals import StopRequest, stop_requests
from convnet.threads import processors
from convnet.train import EpochRecord, NonFiniteLoss, is_best, record_of

Outcome = RunResult | NonFiniteLoss
"""How a replicate ends. Divergence is an outcome, not an error: its siblings go on."""

OnEpoch = Callable[[RunConfig, EpochRecord], None]


class Replicates:
    """Many replicates of one config, through the programs of one `trainer`. Each draws its initial weights, order,
    augmentation and dropout from its own root key, exactly as `Trainer(config).run(seed)` does.

    vmapped: train up to `chunk` replicates together, in one program (`jax.vmap`). Otherwise each is a run of its own
        through the one program of a single run, `workers` of them at a time. None: vmapped wherever JAX does not
        compute on the CPU. There, a run leaves processors idle that its siblings can use, and a batched program only
        moves more memory.
    chunk: bounds the memory of a device, which grows with the replicates in flight there.
    workers: threads. None: one per processor.
    mesh: devices that compute together. By default, replicates in one program are divided among all there are; each on
        its own has one.

    Bits. Each on its own, results are those of `Trainer`, bit for bit. Vmapped, XLA may order the sums of a batched
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
        mesh: MeshConfig = ALL_DEVICES,
        **settings,
    ):
        require(chunk >= 1, "chunk", chunk, "1 or more")
        require(workers is None or workers >= 1, "workers", workers, "1 or more")
        self.vmapped = jax.default_backend() != "cpu" if vmapped is None else vmapped
        if not self.vmapped:  # programs of several devices wait for each other, and so must not meet in several threads
            mesh = replace(mesh, batch=mesh.batch or 1)
            workers = 1 if mesh.batch > 1 else workers
        self.chunk, self.workers = chunk, workers or processors()
        # Which programs there are to be depends on how many replicates are asked for.
        self.trainer = Trainer(config, dataset, compiled=False, mesh=mesh, **settings)

    @property
    def together(self) -> int:
        """How many train in one program at most."""
        return self.chunk * self.trainer.layout(1).replicates if self.vmapped else 1

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
            made otherwise (by other code, versions or traced settings); vmapped, all begin anew.

        Raises ValueError, before anything runs, for a config that differs in anything else, naming it; OtherRun
        where a directory holds another run; OSError where one is full.
        """
        for config in configs:
            self.trainer.check_shared(config)
        run = self._run_vmapped if self.vmapped else self._run_each
        return run(list(configs), on_epoch, directory)

    # --- each on its own ----------------------------------------------------------------------------------------------

    def _run_each(self, configs, on_epoch, directory) -> Iterator[tuple[RunConfig, Outcome]]:
        self.trainer.programs()  # before several threads ask for it
        one_at_a_time, stop = threading.Lock(), StopRequest()
        failures: list[Exception] = []

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
                return self.trainer.run_as(config, note, stop=stop, **where)
            except NonFiniteLoss as diverged:
                return diverged
            except Exception as error:
                if not isinstance(error, Stopped):
                    failures.append(error)
                    stop.ask()  # at once, not when its turn comes: the others end at their next epoch
                raise

        with stop_requests(stop), ThreadPoolExecutor(self.workers, thread_name_prefix="replicate") as pool:
            futures = [pool.submit(run, config) for config in configs]
            try:
                for config, future in zip(configs, futures, strict=True):
                    try:
                        outcome = future.result()
                    except Stopped:
                        if failures:
                            raise failures[0] from None
                        raise
                    yield config, outcome
            finally:
                stop.ask()
                pool.shutdown(cancel_futures=True)

    def _begun(self, path: Path, config: RunConfig) -> dict[str, Any]:
        """Options of `run_as` by which a run in `path` goes on if it would have the same bits, else begins anew."""
        return dict(directory=path, resume=can_go_on(path, self.trainer.identity(config)))

    # --- vmapped ------------------------------------------------------------------------------------------------------

    def _run_vmapped(self, configs, on_epoch, directory) -> Iterator[tuple[RunConfig, Outcome]]:
        trainer = self.trainer
        for start, width in chunks_of(len(configs), self.chunk, trainer.layout(1).replicates):
            chunk = configs[start : start + width]
            trainer.programs(width)
            with stop_requests() as stop, ExitStack() as stack:
                runs = [_Run(trainer, config, on_epoch) for config in chunk]
                if directory is not None:
                    for run in runs:
                        path = directory(run.config)
                        can_go_on(path, trainer.identity(run.config, width))  # refuses those of others
                        run.journal = stack.enter_context(trainer.journal(path, run.config, replicates=width))
                with trainer.task.precision():
                    outcomes = self._train_together(runs, width, stop)
            yield from zip(chunk, outcomes, strict=True)

    def _train_together(self, runs: list[_Run], width: int, stop: StopRequest) -> list[Outcome]:
        """Train `runs` in one program that has room for `width`: the last of them fills it up, which costs less than
        compiling another width."""
        configs = [run.config for run in runs] + [runs[-1].config] * (width - len(runs))
        programs, dataset = self.trainer.programs(width), self.trainer.dataset
        (training, validation, test), epochs = self.trainer.placed(width), self.trainer.config.train.epochs
        keys, values = self.trainer.layout(width).place(self.trainer.inputs(configs, width))
        states = programs.init(keys, values)
        best = jax.tree.map(jnp.copy, states.variables)
        for number in range(1, epochs + 1):
            start = time.perf_counter()
            states, infos = jax.block_until_ready(programs.epoch(states, values, *training))
            seconds = (time.perf_counter() - start) / width
            found, _ = programs.validate(states.variables, values, *validation)
            infos, found = jax.tree.map(np.asarray, (infos, found))
            # Only what is written down is worth the way to the host.
            variables = jax.tree.map(np.asarray, states.variables) if runs[0].journal is not None else None
            better = np.zeros(width, bool)
            for i, run in enumerate(runs):
                own = {"loss": found["loss"][i], "accuracy": int(found["hits"][i]) / len(dataset.validation)}
                facts = number, int(states.step[0]), _of(infos, i), partial(dict, own), seconds
                better[i] = run.add(facts, _of(variables, i))
            best = _keep(jnp.asarray(better), states.variables, best)
            if all(run.failure for run in runs):
                break
            if stop and number < epochs:
                raise Stopped(number, epochs, signal=stop.signal)
        info, logits = programs.test(best, values, *test)
        best, info, logits = jax.tree.map(np.asarray, (best, info, logits))
        return [run.outcome(_of(best, i), _of(info, i), logits[i]) for i, run in enumerate(runs)]


@dataclass
class _Run:
    """One replicate among many: what it has come to, and where that is written down."""

    trainer: Trainer
    config: RunConfig
    on_epoch: OnEpoch
    journal: Journal | None = None
    records: list[EpochRecord] = field(default_factory=list)
    best: EpochRecord | None = None
    failure: NonFiniteLoss | None = None

    def add(self, facts: tuple, variables: Any) -> bool:
        """Take in an epoch, `facts` as `train.record_of` has them; whether it is the best on validation so far."""
        if self.failure is not None:
            return False
        try:
            record = record_of(*facts)
        except NonFiniteLoss as failure:
            self.failure = failure
            if self.journal is not None:
                self.journal.fail(failure)
            return False
        self.records.append(record)
        if self.journal is not None:
            self.journal.write(record, variables)
        self.on_epoch(self.config, record)
        if not is_best(record, self.best):
            return False
        self.best = record
        return True

    def outcome(self, variables: Any, info: dict, logits: np.ndarray) -> Outcome:
        """variables: the best on validation; info, logits: of the test images."""
        if self.failure is not None:
            return self.failure
        config = self.trainer.with_data_name(self.config)
        result = self.trainer.result(config, self.records, variables, self.best.epoch, info, logits)
        if self.journal is not None:
            conclude(self.journal, result)
        return result


@jax.jit
def _keep(better, new, old):
    """Leaves [R, …] of `new` where `better` [R], of `old` elsewhere."""
    return jax.tree.map(lambda n, o: jnp.where(better.reshape(-1, *[1] * (n.ndim - 1)), n, o), new, old)


def _of(tree, i: int):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def chunks_of(n: int, largest: int, devices: int = 1) -> list[tuple[int, int]]:
    """(start, width) of the fewest chunks of one width that cover n: of each, every device has the same number, at most
    `largest`."""
    chunks = max(-(-n // (largest * devices)), 1)
    width = -(-n // (chunks * devices)) * devices
    return [(start, width) for start in range(0, n, width)] if n else []
