"""The composition root: from a `RunConfig` to a trained, tested network."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet import data, initializers, models, ops, optim, train
from convnet.allocator import give_back_memory, keep_memory
from convnet.config import RunConfig, differences, require, to_dict
from convnet.data import Dataset
from convnet.identity import qualified_name
from convnet.journal import Journal, check_same_run, is_finished
from convnet.ops import OpSet
from convnet.result import DamagedResult, RunResult, conclude, load_result
from convnet.signals import StopRequest, stop_requests

EVALUATION_BATCH = 500


TRACEABLE = (*(f"optim.{name}" for name in optim.TRACED), "model.initializer_scale", "train.label_smoothing")
"""Settings that a program can take as inputs. The others shape the program."""

OnEpoch = Callable[[train.EpochRecord], None]


DETERMINISTIC = {"xla_gpu_deterministic_ops": True}


def compiler_options() -> dict[str, Any]:
    """Of every run's programs. On GPUs XLA adds up in any order, and tries algorithms by the clock, unless it is told
    not to: two runs of one config then end with different bits, even in one process. What XLA_FLAGS says goes first.
    """
    told = "deterministic" in os.environ.get("XLA_FLAGS", "")
    return DETERMINISTIC if jax.default_backend() == "gpu" and not told else {}


class Programs(NamedTuple):
    """Compiled, or to be compiled.

    init(keys, values) -> states; epoch(states, values, images, labels) -> (states, infos);
    validate and examine(variables, values, images, labels) -> (info, logits), as `train.make_evaluate` says."""

    init: Callable
    epoch: Callable
    validate: Callable
    examine: Callable


def build_loss(config: RunConfig, opset: OpSet, smoothing: Array | None = None) -> Callable:
    """The loss of `config`, per example: (logits [N, K], labels [N]) -> [N].

    smoothing: a traced number in the place of the config's `label_smoothing`.
    """
    cross_entropy = partial(opset.softmax_cross_entropy, label_smoothing=config.train.label_smoothing)

    def smoothed(logits: Array, labels: Array) -> Array:
        """Cross-entropy is affine in its targets and so in their smoothing: two values of that give all."""
        at_0, at_half = (opset.softmax_cross_entropy(logits, labels, label_smoothing=ε) for ε in (0.0, 0.5))
        return at_0 + 2 * smoothing * (at_half - at_0)

    return {
        "softmax": cross_entropy if smoothing is None else smoothed,
        "weston_watkins": opset.weston_watkins_hinge,
        "crammer_singer": opset.crammer_singer_hinge,
    }[config.train.loss]


class Trainer:
    """The programs of one config, compiled once, run for as many seeds as wanted, in several threads if wanted.

    opset: the ops to compute with; None: what `config.gradient` names.
    traced: names in TRACEABLE that become inputs of the programs instead of constants in them, so that configs which
        differ in nothing else share one compilation. A constant may be folded into its neighbours and an input not, so
        results may part by rounding from those of programs without.

    Construction calls `convnet.allocator.keep_memory`, which changes how the process keeps memory and dispatches.

    Raises ValueError at construction for anything in `config` that does not fit `dataset`, and an unknown name in
    `traced`.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, *, opset: OpSet | None = None, traced: Sequence[str] = ()):
        keep_memory()
        self.dataset, self.traced = dataset, tuple(traced)
        self.config = self.named(config)
        for name in self.traced:
            require(name in TRACEABLE, "traced", name, f"one of {', '.join(TRACEABLE)}")
        self._opset = ops.OPSETS[config.gradient] if opset is None else opset
        n = len(dataset.train)
        self._batch_size = n if config.train.batch_size == "full" else config.train.batch_size
        require(self._batch_size <= n, "train.batch_size", self._batch_size, f"at most the {n} training examples")
        self.model = models.build(**asdict(config.model), num_classes=dataset.num_classes, ops=self._opset)
        self.image_shape = _input_shape(config, dataset)
        with self._precision():
            # Checks the whole network against the image's size without computing anything.
            self._state = jax.eval_shape(self._init, *self._inputs([config]))
            splits = (dataset.train, dataset.validation, dataset.test)
            self._train, self._validation, self._test = jax.device_put([(s.images, s.labels) for s in splits])
            self._digests: dict[int, dict[str, str]] = {}
            self._programs: dict[int, Programs] = {}
            self.compile_seconds = 0.0
            self._prepare()

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return models.count_parameters({"params": self._state.params})

    def named(self, config: RunConfig) -> RunConfig:
        """`config` with the name of the data that are trained on, which may be the user's own."""
        return replace(config, data=replace(config.data, name=self.dataset.name))

    # --- programs -----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Compile what every run needs, so that no run's time holds it."""
        self.programs()

    def programs(self, replicates: int = 0) -> Programs:
        """Compiled for so many replicates side by side, or (0) for one run, without an axis for them."""
        if replicates not in self._programs:
            start = time.perf_counter()
            with self._precision():
                lowered = self._lower(replicates)
                self._digests[replicates] = _digests_of(lowered)
                options = compiler_options()
                self._programs[replicates] = Programs(*(program.compile(options) for program in lowered))
                give_back_memory()
            self.compile_seconds += time.perf_counter() - start
        return self._programs[replicates]

    def digests(self, replicates: int = 0) -> dict[str, str]:
        """What decides what is computed, whoever wrote it: a digest of each program as it goes to the compiler."""
        if replicates not in self._digests:
            with self._precision():
                self._digests[replicates] = _digests_of(self._lower(replicates))
        return self._digests[replicates]

    def _precision(self):
        return jax.enable_x64(True) if self.config.model.precision == "float64" else nullcontext()

    def _parts(self, values: dict[str, Array]):
        """Model, optimiser and loss, with the traced `values` in the place of the config's."""
        scale = values.get("model.initializer_scale")
        model = self.model if scale is None else self.model.clone(initializer_scale=scale)
        chosen = {name.removeprefix("optim."): value for name, value in values.items() if name.startswith("optim.")}
        steps = self.config.train.epochs * data.num_batches(len(self.dataset.train), self._batch_size)
        loss = build_loss(self.config, self._opset, values.get("train.label_smoothing"))
        return model, optim.build(self.config.optim, steps, chosen), loss

    def _inputs(self, configs: Sequence[RunConfig], replicates: int = 0):
        """Root keys and traced values of `configs`: arrays [R], or scalars of the only one."""
        keys = jnp.stack([jax.random.key(config.seed) for config in configs])
        values = {name: jnp.asarray([_value(config, name) for config in configs], float) for name in self.traced}
        return (keys, values) if replicates else jax.tree.map(lambda x: x[0], (keys, values))

    def _init(self, key, values):
        model, optimizer, _ = self._parts(values)
        return train.init_state(model, optimizer, key, self.image_shape)

    def _epoch(self, state, values, images, labels):
        step = train.make_train_step(*self._parts(values), self._prepare_training)
        return train.make_epoch(step, self._batch_size)(state, images, labels)

    def _evaluate(self, variables, values, images, labels):
        model, _, loss = self._parts(values)
        evaluate = train.make_evaluate(model, loss, self._prepare_evaluation, EVALUATION_BATCH)
        return evaluate(variables, images, labels)

    def _prepare_training(self, key, images):
        settings = self.config.data
        images = data.augment(
            key, images, shift_pixels=settings.shift, flip_images=settings.flip, crop_size=settings.crop
        )
        return data.normalize(images, self.dataset.mean, self.dataset.std)

    def _prepare_evaluation(self, images):
        if self.config.data.crop is not None:
            images = data.center_crop(images, size=self.config.data.crop)
        return data.normalize(images, self.dataset.mean, self.dataset.std)

    def _lower(self, replicates: int) -> Programs:
        """The programs before they are compiled, which takes a second or so."""
        init, epoch, evaluate = self._init, self._epoch, self._evaluate
        if replicates:
            init = jax.vmap(init)
            epoch, evaluate = (jax.vmap(f, in_axes=(0, 0, None, None)) for f in (epoch, evaluate))
        inputs = self._inputs([self.config] * max(replicates, 1), replicates)
        state, values = jax.eval_shape(init, *inputs), inputs[1]
        evaluate = jax.jit(evaluate)
        return Programs(
            init=jax.jit(init).lower(*inputs),
            epoch=jax.jit(epoch, donate_argnums=0).lower(state, values, *self._train),
            validate=evaluate.lower(state.variables, values, *self._validation),
            examine=evaluate.lower(state.variables, values, *self._test),
        )

    # --- runs ---------------------------------------------------------------------------------------------------------

    def run(self, seed: int | None = None, on_epoch: OnEpoch = lambda record: None, **options: Any) -> RunResult:
        """Train from `seed` (the config's own unless given), choose the epoch on validation, test once.

        options: those of `run_as`, which tells what is raised.
        """
        return self.run_as(self.config if seed is None else replace(self.config, seed=seed), on_epoch, **options)

    def run_as(
        self,
        config: RunConfig,
        on_epoch: OnEpoch = lambda record: None,
        *,
        directory: Path | None = None,
        resume: bool = False,
        accept_changes: bool = False,
        every_epoch: bool = False,
        stop: StopRequest | None = None,
    ) -> RunResult:
        """As `run`, for a config that differs from the trainer's in its seed and traced settings only.

        directory: where to leave manifest, metrics, checkpoints and result; None: nowhere.
        resume: go on with what this run left there, which gives the same bits as if it had never been interrupted (but
        for the seconds); on_epoch then sees the epochs taken over first. A finished run is read.
        accept_changes: go on although the environment or the code is another than it was; the manifest will say so.
        every_epoch: a checkpoint after every epoch, instead of as often as a twentieth of the time allows.
        stop: asked after every epoch. None: signals ask (`convnet.signals`), where this is the main thread and there is
        a directory. What was reached is saved.

        Raises NonFiniteLoss where training diverges; OSError where `directory` is full (what is there can be resumed);
        Stopped; ValueError for another config than the programs are of, and (OtherRun) where `directory` holds another
        run, or one that would have other bits now, naming each field with its value then and now.
        """
        config = self.named(config)
        self.check_shared(config)
        if directory is None:
            return self._fit(config, on_epoch)
        if resume and (result := self._finished(config, directory, accept_changes)) is not None:
            for record in result.records:
                on_epoch(record)
            return result
        options = dict(resume=resume, accept_changes=accept_changes, every_epoch=every_epoch)
        listening = nullcontext(stop) if stop is not None else stop_requests()
        with listening as stop, self.journal(directory, config, stop=stop, **options) as journal:
            result = self._fit(config, on_epoch, journal)
            conclude(journal, result)
        return result

    def _finished(self, config: RunConfig, directory: Path, accept_changes: bool) -> RunResult | None:
        """The result in `directory` if this run is finished there; of a damaged one all but its checkpoints is lost."""
        identity = self.identity(config)
        check_same_run(directory, identity, accept_changes=accept_changes)
        if not is_finished(directory, identity, accept_changes=accept_changes):
            return None
        try:
            return load_result(config, directory)
        except DamagedResult as damaged:
            warnings.warn(f"{damaged}: computed again from the last checkpoint", RuntimeWarning, stacklevel=3)
            return None

    def check_shared(self, config: RunConfig) -> None:
        """ValueError for a config that these programs cannot run, naming what differs."""
        others = differences(to_dict(self.config), to_dict(self.named(config)))
        if others := sorted(others.keys() - {"seed", *self.traced}):
            raise ValueError(f"{others[0]} is not as in the compiled program: expected only the seed to differ")

    def identity(self, config: RunConfig, replicates: int = 0) -> dict[str, Any]:
        """What decides the bits of a run of `config` here, the environment apart, as plain JSON values.

        replicates: how many are trained in one program with it; 0: none.
        """
        return {
            "config": to_dict(self.named(config)),
            "data": self.dataset.facts,
            "computes": {"model": qualified_name(type(self.model)), "ops": self._ops()},
            "replicates": replicates,
            "traced": list(self.traced),
            "programs": self.digests(replicates),
        }

    def _ops(self) -> str | dict[str, str]:
        """The config's word for the ops, or those that are others, by name."""
        usual = ops.OPSETS[self.config.gradient]
        own = {f.name: getattr(self._opset, f.name) for f in fields(OpSet)}
        others = {name: qualified_name(op) for name, op in own.items() if op is not getattr(usual, name)}
        return others or self.config.gradient

    def journal(self, directory: Path, config: RunConfig, *, replicates: int = 0, **options: Any) -> Journal:
        """A run's records in `directory`. replicates: how many are trained in one program with it; 0: none."""
        facts = {
            "parameters": self.parameters,
            "classes": self.dataset.num_classes,
            "compile_seconds": self.compile_seconds,
        }
        return Journal(directory, self.identity(config, replicates), facts=facts, **options)

    def _fit(self, config: RunConfig, on_epoch: OnEpoch, journal: Journal | None = None) -> RunResult:
        programs = self.programs()

        def epoch(state):
            return programs.epoch(state, values, *self._train)

        def validate(variables):
            info, _ = programs.validate(variables, values, *self._validation)
            return {"loss": info["loss"], "accuracy": int(info["hits"]) / len(self.dataset.validation)}

        with self._precision():
            key, values = self._inputs([config])
            start = programs.init(key, values)
            if journal is not None:
                start = journal.begin(start)
                for record in start.records if isinstance(start, train.Fit) else ():
                    on_epoch(record)
            keep = (lambda fit: None) if journal is None else journal.keep
            fit = train.fit(start, epoch, validate, config.train.epochs, on_epoch, keep)
            test, logits = programs.examine(fit.best_variables, values, *self._test)
        return RunResult(
            config=config,
            records=fit.records,
            variables=fit.best_variables,
            best_epoch=fit.best_epoch,
            test_loss=float(test["loss"]),
            test_hits=int(test["hits"]),
            test_logits=np.asarray(logits),
            compile_seconds=self.compile_seconds,
        )


def _digests_of(lowered: Programs) -> dict[str, str]:
    """SHA-256 of each program's text, which has neither names of files nor numbers of lines."""
    texts = {name: program.as_text() for name, program in lowered._asdict().items()}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}


def _value(config: RunConfig, path: str) -> float:
    section, name = path.split(".")
    value = getattr(getattr(config, section), name)
    return initializers.INITIALIZERS[config.model.initializer][1] if value is None else value


def _input_shape(config: RunConfig, dataset: Dataset) -> tuple[int, int, int]:
    height, width, channels = dataset.image_shape
    crop = config.data.crop
    if crop is None:
        return height, width, channels
    require(crop <= min(height, width), "data.crop", crop, f"at most the images' {min(height, width)} pixels")
    return crop, crop, channels


def run(config: RunConfig, **callbacks) -> RunResult:
    """Load, train, test: one run of `config`."""
    dataset = data.load(config.data.name, limit=config.data.limit)
    return Trainer(config, dataset).run(**callbacks)
