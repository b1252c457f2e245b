"""The composition root: from a `RunConfig` to a trained, tested network."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from convnet import data, models, ops, optim, train
from convnet.allocator import keep_memory
from convnet.config import RunConfig, require
from convnet.data import Dataset
from convnet.journal import Journal, is_finished
from convnet.ops import OpSet
from convnet.record import write_atomically

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class RunResult:
    """A finished run. The variables are those of the epoch that was best on the validation set, and the test set was
    looked at once, with them."""

    config: RunConfig
    records: tuple[train.EpochRecord, ...]
    variables: Any
    best_epoch: int
    test_loss: float
    test_accuracy: float
    test_logits: np.ndarray
    compile_seconds: float

    @property
    def seconds_per_epoch(self) -> float:
        """Median over the epochs; compilation and evaluation are not in it."""
        return float(np.median([record.seconds for record in self.records]))

    def seconds_to(self, accuracy: float) -> float | None:
        """Training time until the validation accuracy first reached `accuracy`; None if it never did."""
        elapsed = np.cumsum([record.seconds for record in self.records])
        reached = [t for t, record in zip(elapsed, self.records, strict=True) if record.validation_accuracy >= accuracy]
        return float(reached[0]) if reached else None


def build_loss(config: RunConfig, opset: OpSet) -> Callable:
    """The loss of `config`, per example: (logits [N, K], labels [N]) -> [N]."""
    return {
        "softmax": partial(opset.softmax_cross_entropy, label_smoothing=config.train.label_smoothing),
        "weston_watkins": opset.weston_watkins_hinge,
        "crammer_singer": opset.crammer_singer_hinge,
    }[config.train.loss]


class Trainer:
    """The programs of one config, compiled once, run for as many seeds as wanted.

    opset: the ops to compute with; None: what `config.gradient` names.

    Raises ValueError at construction for anything in `config` that does not fit `dataset`.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, *, opset: OpSet | None = None):
        keep_memory()
        self.config, self.dataset = config, dataset
        opset = ops.OPSETS[config.gradient] if opset is None else opset
        n = len(dataset.train)
        batch_size = n if config.train.batch_size == "full" else config.train.batch_size
        require(batch_size <= n, "train.batch_size", batch_size, f"at most the {n} training examples")
        steps = config.train.epochs * data.num_batches(n, batch_size)
        self.model = models.build(**asdict(config.model), num_classes=dataset.num_classes, ops=opset)
        self.optimizer = optim.build(config.optim, steps)
        self.loss = build_loss(config, opset)
        self.image_shape = _input_shape(config, dataset)
        with self._precision():
            # Checks the whole network against the image's size without computing anything.
            self._state = jax.eval_shape(self._init, jax.random.key(0))
            self._place_data()
            self._compile(batch_size)

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return models.count_parameters({"params": self._state.params})

    def _precision(self):
        return jax.enable_x64(True) if self.config.model.precision == "float64" else nullcontext()

    def _init(self, key):
        return train.init_state(self.model, self.optimizer, key, self.image_shape)

    def _place_data(self) -> None:
        splits = (self.dataset.train, self.dataset.validation, self.dataset.test)
        self._train, self._validation, self._test = jax.device_put([(split.images, split.labels) for split in splits])

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

    def _compile(self, batch_size: int) -> None:
        step = train.make_train_step(self.model, self.optimizer, self.loss, self._prepare_training)
        epoch = jax.jit(train.make_epoch(step, batch_size), donate_argnums=0)
        evaluate = jax.jit(train.make_evaluate(self.model, self.loss, self._prepare_evaluation, EVALUATION_BATCH))
        start = time.perf_counter()
        self._compiled_init = jax.jit(self._init).lower(jax.random.key(0)).compile()
        self._epoch = epoch.lower(self._state, *self._train).compile()
        self._validate = evaluate.lower(self._state.variables, *self._validation).compile()
        self._examine = evaluate.lower(self._state.variables, *self._test).compile()
        self.compile_seconds = time.perf_counter() - start

    def run(
        self,
        seed: int | None = None,
        on_epoch: Callable[[train.EpochRecord], None] = lambda record: None,
        *,
        directory: Path | None = None,
        resume: bool = False,
        every_epoch: bool = False,
    ) -> RunResult:
        """Train from `seed` (the config's own unless given), choose the epoch on validation, test once.

        directory: where to leave manifest, metrics, checkpoints and result; None: nowhere.
        resume: go on with what a run of the same config left there, which gives the same bits as if it had never been
        interrupted (but for the seconds); on_epoch then sees the epochs taken over first. A finished run is read.
        every_epoch: a checkpoint after every epoch, instead of as often as a twentieth of the time allows.

        Raises NonFiniteLoss where training diverges; OSError where `directory` is full (what is there can be resumed);
        ValueError (OtherConfig) where it holds a run of another config, metrics or parameters that do not belong to it.
        """
        config = self.config if seed is None else replace(self.config, seed=seed)
        if directory is None:
            return self._fit(config, on_epoch)
        if resume and is_finished(directory, config):
            result = load_result(config, directory)
            for record in result.records:
                on_epoch(record)
            return result
        with Journal(directory, config, resume=resume, every_epoch=every_epoch) as journal:
            result = self._fit(config, on_epoch, journal)
            save_result(result, directory)
            journal.finish(
                result.variables,
                test_accuracy=result.test_accuracy,
                best_epoch=result.best_epoch,
                compile_seconds=result.compile_seconds,
                train_seconds=sum(record.seconds for record in result.records),
            )
        return result

    def _fit(self, config: RunConfig, on_epoch: Callable, journal: Journal | None = None) -> RunResult:
        def epoch(state):
            return self._epoch(state, *self._train)

        def validate(variables):
            return self._validate(variables, *self._validation)[0]

        with self._precision():
            start = self._compiled_init(jax.random.key(config.seed))
            if journal is not None:
                start = journal.begin(start)
                for record in start.records if isinstance(start, train.Fit) else ():
                    on_epoch(record)
            keep = (lambda fit: None) if journal is None else journal.keep
            fit = train.fit(start, epoch, validate, config.train.epochs, on_epoch, keep)
            test, logits = self._examine(fit.best_variables, *self._test)
        return RunResult(
            config=config,
            records=fit.records,
            variables=fit.best_variables,
            best_epoch=fit.best_epoch,
            test_loss=float(test["loss"]),
            test_accuracy=float(test["accuracy"]),
            test_logits=np.asarray(logits),
            compile_seconds=self.compile_seconds,
        )


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


def save_result(result: RunResult, directory: Path) -> None:
    """Write `result` as `result.npz`, from which `load_result` rebuilds it bit for bit; all of it or nothing."""
    arrays = models.flatten(result.variables)
    table = np.array([astuple(record) for record in result.records], np.float64)
    facts = np.array([result.best_epoch, result.test_loss, result.test_accuracy, result.compile_seconds])
    buffer = io.BytesIO()
    np.savez(buffer, records=table, facts=facts, test_logits=result.test_logits, **arrays)
    write_atomically(directory / "result.npz", buffer.getvalue())


def load_result(config: RunConfig, directory: Path) -> RunResult:
    """What `save_result` wrote for `config`."""
    with np.load(directory / "result.npz") as file:
        arrays = dict(file)
    table, facts, logits = (arrays.pop(name) for name in ("records", "facts", "test_logits"))
    kinds = [int if f.type == "int" else float for f in fields(train.EpochRecord)]
    return RunResult(
        config=config,
        records=tuple(train.EpochRecord(*(kind(x) for kind, x in zip(kinds, row, strict=True))) for row in table),
        variables=models.unflatten(arrays),
        best_epoch=int(facts[0]),
        test_loss=float(facts[1]),
        test_accuracy=float(facts[2]),
        test_logits=logits,
        compile_seconds=float(facts[3]),
    )
