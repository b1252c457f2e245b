"""Many seeds of one config, and many values of its traced settings: side by side in one program, or in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet import data, initializers, optim, train
from convnet.ablation.grid import differences
from convnet.config import RunConfig, require
from convnet.data import Dataset
from convnet.ops import OpSet
from convnet.run import EVALUATION_BATCH, RunResult, Trainer
from convnet.train import EpochRecord, NonFiniteLoss

TRACEABLE = (*(f"optim.{name}" for name in optim.TRACED), "model.initializer_scale")
"""Settings that a program can take as inputs. The others shape the program (label smoothing among them: the loss checks
its value and holds it fixed in its rule)."""

Outcome = RunResult | NonFiniteLoss
"""How a replicate ends. Divergence is an outcome, not an error: its siblings go on."""

OnEpoch = Callable[[RunConfig, EpochRecord], None]


class Replicates(Trainer):
    """The programs of one config for many replicates. Each draws its initial weights, order, augmentation and dropout
    from its own root key, exactly as `Trainer(config).run(seed)` does.

    traced: names in TRACEABLE that become inputs, so that configs which differ in them share one compiled program.
    vmapped: run up to `chunk` replicates side by side (`jax.vmap`) instead of one after the other. None: side by side
        wherever JAX does not compute on the CPU. There a replicate cannot use what a single run leaves idle.
    chunk: bounds the memory, which grows with the replicates in flight.

    Bits. In turn and with nothing traced, results are those of `Trainer`, bit for bit. Side by side, XLA may order the
    sums of a batched product differently, and a traced number is not folded into its neighbours: both may part from the
    single run by rounding, which training then amplifies as it does any rounding.

    Raises ValueError for what `Trainer` refuses, an unknown name in `traced`, and a chunk below 1.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        *,
        opset: OpSet | None = None,
        traced: Sequence[str] = (),
        vmapped: bool | None = None,
        chunk: int = 16,
    ):
        for name in traced:
            require(name in TRACEABLE, "traced", name, f"one of {', '.join(TRACEABLE)}")
        require(chunk >= 1, "chunk", chunk, "1 or more")
        self.traced, self.chunk = tuple(traced), chunk
        self.vmapped = jax.default_backend() != "cpu" if vmapped is None else vmapped
        self._programs: dict[int, _Programs] = {}
        super().__init__(config, dataset, opset=opset)

    def run(self, seed: int | None = None, on_epoch: Callable[[EpochRecord], None] = lambda record: None) -> RunResult:
        """As `Trainer.run`."""
        config = self.config if seed is None else replace(self.config, seed=seed)
        ((_, outcome),) = self.run_all([config], lambda _, record: on_epoch(record))
        if isinstance(outcome, NonFiniteLoss):
            raise outcome
        return outcome

    def run_all(
        self, configs: Sequence[RunConfig], on_epoch: OnEpoch = lambda config, record: None
    ) -> Iterator[tuple[RunConfig, Outcome]]:
        """Train every config, and hand out each with its outcome as it is done, in order.

        configs: this one's, but for the seed and the traced settings.

        Raises ValueError, before anything runs, for a config that differs in anything else, naming it.
        """
        for config in configs:
            if differing := sorted(set(differences(self.config, config)) - {"seed", *self.traced}):
                raise ValueError(f"{differing[0]} differs between replicates: expected the seed or a traced setting to")
        return self._run_all(list(configs), on_epoch)

    def _run_all(self, configs: list[RunConfig], on_epoch: OnEpoch) -> Iterator[tuple[RunConfig, Outcome]]:
        if not self.vmapped:
            for config in configs:
                with self._precision():
                    outcome = self._run_alone(config, on_epoch)
                yield config, outcome
            return
        for start, width in _chunks(len(configs), self.chunk):
            chunk = configs[start : start + width]
            with self._precision():
                # The last chunk is filled up, which costs less than compiling another width.
                outcomes = self._run_together(chunk + chunk[-1:] * (width - len(chunk)), len(chunk), on_epoch)
            yield from zip(chunk, outcomes, strict=True)

    # --- programs -----------------------------------------------------------------------------------------------------

    def _compile(self, batch_size: int) -> None:
        """Nothing yet: how wide the programs are depends on how many replicates are asked for."""
        self._batch_size, self.compile_seconds = batch_size, 0.0

    def _parts(self, values: dict[str, Any]):
        """Model and optimiser with the traced `values` in the place of the config's."""
        chosen = {name.removeprefix("optim."): value for name, value in values.items() if name.startswith("optim.")}
        steps = self.config.train.epochs * data.num_batches(len(self.dataset.train), self._batch_size)
        scale = values.get("model.initializer_scale")
        model = self.model if scale is None else self.model.clone(initializer_scale=scale)
        return model, optim.build(self.config.optim, steps, chosen)

    def _programs_of(self, width: int) -> _Programs:
        if width not in self._programs:
            start = time.perf_counter()
            self._programs[width] = self._build(width)
            self.compile_seconds += time.perf_counter() - start
        return self._programs[width]

    def _build(self, width: int) -> _Programs:
        """All four compiled. width: number of replicates side by side; 0: one alone, without an axis for it."""

        def init(key, values):
            return train.init_state(*self._parts(values), key, self.image_shape)

        def epoch(state, values, images, labels):
            step = train.make_train_step(*self._parts(values), self.loss, self._prepare_training)
            return train.make_epoch(step, self._batch_size)(state, images, labels)

        evaluate = train.make_evaluate(self.model, self.loss, self._prepare_evaluation, EVALUATION_BATCH)
        if width:
            init, epoch = jax.vmap(init), jax.vmap(epoch, in_axes=(0, 0, None, None))
            evaluate = jax.vmap(evaluate, in_axes=(0, None, None))
        inputs = self._inputs([self.config] * max(width, 1), bool(width))
        state, values = jax.eval_shape(init, *inputs), inputs[1]
        return _Programs(
            init=jax.jit(init).lower(*inputs).compile(),
            epoch=jax.jit(epoch, donate_argnums=0).lower(state, values, *self._train).compile(),
            validate=jax.jit(evaluate).lower(state.variables, *self._validation).compile(),
            examine=jax.jit(evaluate).lower(state.variables, *self._test).compile(),
        )

    def _inputs(self, configs: Sequence[RunConfig], batched: bool):
        """Root keys and traced values of `configs`: arrays [R], or scalars of the only one."""
        keys = jnp.stack([jax.random.key(config.seed) for config in configs])
        values = {name: jnp.asarray([_value(config, name) for config in configs], float) for name in self.traced}
        return (keys, values) if batched else jax.tree.map(lambda x: x[0], (keys, values))

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _run_alone(self, config: RunConfig, on_epoch: OnEpoch) -> Outcome:
        programs = self._programs_of(0)
        key, values = self._inputs([config], False)
        try:
            fit = train.fit(
                programs.init(key, values),
                lambda state: programs.epoch(state, values, *self._train),
                lambda variables: programs.validate(variables, *self._validation)[0],
                self.config.train.epochs,
                lambda record: on_epoch(config, record),
            )
        except NonFiniteLoss as diverged:
            return diverged
        test, logits = programs.examine(fit.best_variables, *self._test)
        return self._result(config, fit.records, fit.best_epoch, fit.best_variables, test, np.asarray(logits))

    def _run_together(self, configs: list[RunConfig], wanted: int, on_epoch: OnEpoch) -> list[Outcome]:
        """Outcomes of the first `wanted` of `configs`, all trained in lockstep."""
        programs = self._programs_of(len(configs))
        keys, values = self._inputs(configs, True)
        states = programs.init(keys, values)
        best = jax.tree.map(jnp.copy, states.variables)
        lanes = [_Lane() for _ in configs]
        for number in range(1, self.config.train.epochs + 1):
            start = time.perf_counter()
            states, infos = jax.block_until_ready(programs.epoch(states, values, *self._train))
            seconds = (time.perf_counter() - start) / len(configs)
            validation, _ = programs.validate(states.variables, *self._validation)
            infos, validation = jax.tree.map(np.asarray, (infos, validation))
            last = int(states.step[0])
            better = [
                lane.add(number, last, _of(infos, i), _of(validation, i), seconds) for i, lane in enumerate(lanes)
            ]
            best = _keep(jnp.asarray(better), states.variables, best)
            for config, lane in zip(configs[:wanted], lanes, strict=False):
                if lane.failure is None:
                    on_epoch(config, lane.records[-1])
            if all(lane.failure for lane in lanes):
                break
        test, logits = jax.tree.map(np.asarray, programs.examine(best, *self._test))
        return [
            lane.failure
            or self._result(config, tuple(lane.records), lane.best_epoch, _of(best, i), _of(test, i), logits[i])
            for i, (config, lane) in enumerate(zip(configs[:wanted], lanes, strict=False))
        ]

    def _result(self, config, records, best_epoch, variables, test, logits) -> RunResult:
        return RunResult(
            config=config,
            records=records,
            variables=variables,
            best_epoch=best_epoch,
            test_loss=float(test["loss"]),
            test_accuracy=float(test["accuracy"]),
            test_logits=logits,
            compile_seconds=self.compile_seconds,
        )


@dataclass(frozen=True)
class _Programs:
    """init(keys, values) -> states; epoch(states, values, images, labels) -> (states, infos);
    validate and examine(variables, images, labels) -> (info, logits)."""

    init: Callable
    epoch: Callable
    validate: Callable
    examine: Callable


@dataclass
class _Lane:
    """What `train.fit` keeps for a run alone, for one replicate among many: the same records, choice and verdict."""

    records: list[EpochRecord] = field(default_factory=list)
    failure: NonFiniteLoss | None = None
    best_epoch: int = 0
    _best: tuple[float, float] = (-np.inf, -np.inf)

    def add(self, epoch: int, last: int, infos: dict, validation: dict, seconds: float) -> bool:
        """Take in an epoch that ended with step `last`; whether it is the best on validation so far."""
        if self.failure is not None:
            return False
        bad = ~(np.isfinite(infos["loss"]) & np.isfinite(infos["grad_norm"]))
        loss, accuracy, first = float(validation["loss"]), float(validation["accuracy"]), last - len(bad) + 1
        if bad.any() or not np.isfinite(loss):
            at = first + int(np.argmax(bad)) if bad.any() else last
            self.failure = NonFiniteLoss(at=at, epoch=epoch, first=first, last=last)
            return False
        means = {name: float(infos[name].mean()) for name in ("loss", "accuracy", "grad_norm")}
        self.records.append(
            EpochRecord(epoch, last, means["loss"], means["accuracy"], means["grad_norm"], loss, accuracy, seconds)
        )
        if (accuracy, -loss) <= self._best:
            return False
        self._best, self.best_epoch = (accuracy, -loss), epoch
        return True


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


def _value(config: RunConfig, path: str) -> float:
    section, name = path.split(".")
    value = getattr(getattr(config, section), name)
    return initializers.INITIALIZERS[config.model.initializer][1] if value is None else value
