"""A task: what is learned from which images by which network, as functions. No arrays, nothing compiled.

A config and the facts of a data set make one (`make_task`). The parts in PARTS may be replaced by one's own:

    task = make_task(config, Facts.of(dataset))
    task = replace(task, loss=focal_loss, prepare=cutout)
    Trainer(config, dataset, task=task).run()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax import Array

from convnet import data, models, ops, optim
from convnet.architectures import Architecture, Own
from convnet.config import RunConfig
from convnet.data import Dataset
from convnet.identity import qualified_name
from convnet.ops import OpSet
from convnet.settings import LATER, differences, require, to_dict

TRACEABLE = (*(f"optim.{name}" for name in optim.TRACED), "model.initializer_scale", "train.label_smoothing")
"""Settings that a program can take as inputs. The others shape the program."""

PARTS = ("model", "loss", "optimizer", "prepare", "preprocess", "init")
"""Of a task, what may be one's own. The rest is what these were made from: other ops are for `make_task`."""


def products(precision: str) -> str:
    """JAX's word for how factors of float32 are multiplied: of `jax_default_matmul_precision`.

    precision: one of `model.precision`.
    """
    return "tensorfloat32" if precision == "tf32" else "float32"


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """The context that programs of this `model.precision` are traced, lowered and run in.

    By itself JAX multiplies float32 in whatever way is fastest: with factors of 10 bits on recent GPUs, of 7 on TPUs.
    So here float32 is asked for in full (`lax.Precision.HIGHEST`), and tf32 by its name (`HIGH`, which on TPUs is three
    passes of bfloat16). What the process has set for `jax_default_matmul_precision` has no effect inside. CPUs know one
    way only, whatever is asked for.
    """
    wide = jax.enable_x64(True) if precision == "float64" else nullcontext()
    with wide, jax.default_matmul_precision(products(precision)):
        yield


@dataclass(frozen=True)
class Facts:
    """Of a data set, all that a task depends on: the shape (H, W, C) of its images, mean and standard deviation of each
    channel in pixel units, the classes by name; and for a model that whitens patches their second moment
    (`Dataset.patch_moment`), row by row."""

    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    patch_moment: tuple[float, ...] = field(default=(), metadata=LATER)

    @classmethod
    def of(cls, dataset: Dataset, model: Architecture | None = None) -> Facts:
        """Of `dataset`, for `model`. Raises ValueError for images that are smaller than a patch that it whitens."""
        mean, std = (tuple(map(float, values)) for values in (dataset.mean, dataset.std))
        side = model.whitening_side if model else 0
        moment = tuple(dataset.patch_moment(side).ravel().tolist()) if side else ()
        return cls(tuple(dataset.image_shape), mean, std, tuple(dataset.class_names), moment)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Facts:
        """The inverse of `settings.to_dict`, through JSON, too."""
        return cls(**{field.name: tuple(facts[field.name]) for field in fields(cls) if field.name in facts})


@dataclass(frozen=True)
class Task:
    """The parts of a training run, and what they were made from.

    model: a Flax module (or anything with its `init` and `apply`) from images [N, H, W, C] to logits [N, K].
    loss: (logits [N, K], labels [N]) -> [N].
    optimizer: (steps of the whole run) -> optax.GradientTransformation.
    prepare: (key, images uint8 [N, H, W, C]) -> what the model is trained on; inside the compiled step.
    preprocess: images (uint8, or floats in the same unit) -> what the model is evaluated on.
    init: (key, images [1, H, W, C]) -> the variables to start from, `models.warm_start` say; None: the model's own.
    traced: names in TRACEABLE whose numbers a program takes as inputs.
    """

    config: RunConfig
    facts: Facts
    ops: OpSet
    model: Any
    loss: Callable[[Array, Array], Array]
    optimizer: Callable[..., optax.GradientTransformation]
    prepare: Callable[[Array, Array], Array]
    preprocess: Callable[[Array], Array]
    init: Callable[[Array, Array], Any] | None = None
    traced: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of what the model sees."""
        height, width, channels = self.facts.image_shape
        crop = self.config.data.crop
        return (height, width, channels) if crop is None else (crop, crop, channels)

    def classify(self, variables: Any, images: Array) -> Array:
        """Logits [N, K] of images as the config evaluates them: the mean over its views."""

        def logits(images: Array) -> Array:
            return self.model.apply(variables, images)

        return data.averaged(logits, self.config.data.views)(self.preprocess(images))

    def mirror(self, steps: int) -> Callable[[Array, Array, Array], Array] | None:
        """For `make_train_step`: what mirrors images in every other epoch of so many steps, where `data.alternate` says
        so; else None. It comes before `prepare`, one's own, too."""
        if not self.config.data.alternate:
            return None
        return lambda key, images, step: data.alternating_flip(key, images, step // steps)

    def precision(self) -> AbstractContextManager:
        """The context that programs are traced and run in."""
        return computing_in(self.config.model.precision)

    @property
    def own(self) -> tuple[str, ...]:
        """Those of PARTS that are not what `make_task` makes."""
        usual = make_task(self.config, self.facts, opset=self.ops, traced=self.traced)
        return tuple(name for name in PARTS if not _alike(getattr(self, name), getattr(usual, name)))

    def check(self) -> None:
        """ValueError where there is no model; where that computes with other ops than the task; and for a traced
        setting of a part that is one's own, and so has no use for it."""
        if self.model is None:
            raise ValueError("model.name is 'own': expected a task with the model, replace(make_task(…), model=…)")
        if getattr(self.model, "ops", self.ops) is not self.ops:
            raise ValueError("task has other ops than its model: expected those that `make_task` was given")
        uses = {"model.initializer_scale": ("model", "init"), "train.label_smoothing": ("loss",)}
        for name in self.traced:
            if parts := [part for part in uses.get(name, ("optimizer",)) if part in self.own]:
                raise ValueError(f"traced holds {name!r}: the task's {parts[0]} is one's own")

    def with_values(self, values: Mapping[str, Array]) -> Task:
        """With traced numbers in the place of the config's: `values` by names in TRACEABLE. Those of the optimiser are
        in its state."""
        changes: dict[str, Any] = {}
        if "model.initializer_scale" in values:
            changes["model"] = self.model.clone(initializer_scale=values["model.initializer_scale"])
        if "train.label_smoothing" in values:
            changes["loss"] = make_loss(self.config, self.ops, values["train.label_smoothing"])
        return replace(self, **changes) if changes else self

    @staticmethod
    def numbers(values: Mapping[str, Array]) -> dict[str, Array]:
        """Those of `values` that are the optimiser's, by their names there."""
        return {name.removeprefix("optim."): value for name, value in values.items() if name.startswith("optim.")}

    def computes(self) -> dict[str, Any]:
        """What computes, by name, as plain JSON values: the model, the ops, and the parts that are one's `own`."""
        own = self.own
        parts = {name: qualified_name(getattr(self, name)) for name in own if name != "model"}
        listed = {"own": list(own)} if own else {}
        return {"model": qualified_name(type(self.model)), "ops": self._ops(), **parts, **listed}

    def _ops(self) -> str | dict[str, str]:
        """The config's word for the ops, or those that are others, by name."""
        usual = ops.OPSETS[self.config.gradient]
        own = {field.name: getattr(self.ops, field.name) for field in fields(OpSet)}
        others = {name: qualified_name(op) for name, op in own.items() if op is not getattr(usual, name)}
        return others or self.config.gradient


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, partial) and isinstance(other, partial):
        return (one.func, one.args, one.keywords) == (other.func, other.args, other.keywords)
    return type(one) is type(other) and one == other


def make_task(config: RunConfig, facts: Facts, *, opset: OpSet | None = None, traced: Sequence[str] = ()) -> Task:
    """The task of `config` on data of which `facts` hold. opset: the ops to compute with; None: `config.gradient`'s.

    Where `config.model` says that the model is one's own, there is none yet.

    Raises ValueError for an unknown name in `traced`, a crop larger than the images, and facts that lack what the model
    whitens.
    """
    for name in traced:
        require(name in TRACEABLE, "traced", name, f"one of {', '.join(TRACEABLE)}")
    opset = ops.OPSETS[config.gradient] if opset is None else opset
    if (crop := config.data.crop) is not None:
        least = min(facts.image_shape[:2])
        require(crop <= least, "data.crop", crop, f"at most the images' {least} pixels")
    own, numbers = isinstance(config.model, Own), [n.removeprefix("optim.") for n in traced if n.startswith("optim.")]
    return Task(
        config=config,
        facts=facts,
        ops=opset,
        model=None if own else make_model(config, facts, opset),
        loss=make_loss(config, opset),
        optimizer=partial(optim.build, config.optim, traced=numbers),
        prepare=partial(prepare, config, facts),
        preprocess=partial(preprocess, config, facts),
        traced=tuple(traced),
    )


def adopted_task(
    config: RunConfig, facts: Facts, *, own: Task | None, opset: OpSet | None = None, traced: Sequence[str] = ()
) -> Task:
    """The task of `config`, with the ops and parts of one's own that `own` has, where there is one, whatever the name
    that its config has for the data.

    Raises ValueError for an `own` beside an opset, or of another config or other facts, and as `Task.check` does.
    """
    parts = {}
    if own is not None:
        if opset is not None:
            raise ValueError("opset is given beside a task: expected one of the two, as a task has its ops")
        named = replace(own.config, data=replace(own.config.data, name=config.data.name, folder=config.data.folder))
        if changed := differences(to_dict(config, places=False), to_dict(named, places=False)):
            raise ValueError(f"task is of another config: {next(iter(changed))} differs")
        if changed := differences(to_dict(facts), to_dict(own.facts)):
            raise ValueError(f"task is of other data: {next(iter(changed))} differs")
        opset, parts = own.ops, {name: getattr(own, name) for name in own.own}
    task = replace(make_task(config, facts, opset=opset, traced=traced), **parts)
    task.check()
    return task


def make_model(config: RunConfig, facts: Facts, opset: OpSet) -> models.Network:
    """The network of `config`. Raises ValueError where it whitens patches of which `facts` tell nothing."""
    values = config.model.whitening_side**2 * facts.image_shape[2]
    moment = facts.patch_moment if values else ()
    if len(moment) != values**2:
        expected = f"{values**2}, as Facts.of(dataset, config.model) has"
        raise ValueError(f"facts.patch_moment has {len(moment)} numbers: expected {expected}")
    return models.build(config.model, num_classes=len(facts.class_names), ops=opset, patch_moment=moment)


def make_loss(config: RunConfig, opset: OpSet, smoothing: Array | None = None) -> Callable[[Array, Array], Array]:
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


def prepare(config: RunConfig, facts: Facts, key: Array, images: Array) -> Array:
    """Training images as `config` augments them, normalised: [N, H, W, C] uint8 -> float32, cropped if it says so."""
    settings = config.data
    images = data.augment(
        key,
        images,
        shift_pixels=settings.shift,
        flip_images=settings.flip and not settings.alternate,  # which `Task.mirror` does
        crop_size=settings.crop,
        border=settings.border,
    )
    return _normalized(facts, images)


def preprocess(config: RunConfig, facts: Facts, images: Array) -> Array:
    """Images to be classified, normalised: [N, H, W, C] in pixel units -> float32, their centre if training crops."""
    if config.data.crop is not None:
        images = data.center_crop(images, size=config.data.crop)
    return _normalized(facts, images)


def _normalized(facts: Facts, images: Array) -> Array:
    return data.normalize(images, *(np.asarray(values, np.float32) for values in (facts.mean, facts.std)))
