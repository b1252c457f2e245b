"""What a run is: frozen dataclasses with a JSON round trip and a content hash.

Only plain values live here. Whether a *name* (of a data set, model, optimiser, …) exists is known to the table that the
name is looked up in; everything else is refused here, at construction.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import numbers
import types
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LARGEST = 2**32
"""No count of anything here is larger, and NumPy and XLA could not take it."""


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """ValueError "NAME is VALUE: expected EXPECTED" unless `condition`."""
    if not condition:
        raise ValueError(f"{name} is {value!r}: expected {expected}")


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how training varies them."""

    name: str = "digits"
    """Data set: digits (embedded), mnist or cifar10 (prepared for TFDS)."""
    limit: int | None = None
    """Train on this many examples only, the same fraction of each class."""
    shift: int = 0
    """Move each training image by up to this many pixels each way."""
    flip: bool = False
    """Mirror half of the training images left to right."""
    crop: int | None = None
    """Train on random windows of this many pixels a side (evaluation takes the centre)."""

    def __post_init__(self):
        _settle(self, "data")
        require(self.limit is None or self.limit > 0, "data.limit", self.limit, "a positive number of examples")
        require(self.shift >= 0, "data.shift", self.shift, "pixels, 0 or more")
        require(self.crop is None or self.crop > 0, "data.crop", self.crop, "a positive number of pixels")


@dataclass(frozen=True)
class ModelConfig:
    """Architecture. What a model has no use for, it ignores (the linear model has no widths)."""

    name: str = "cnn"
    """linear, mlp or cnn."""
    widths: tuple[int, ...] | None = None
    """Units of each hidden layer (mlp), channels of each stage (cnn). None: sized by the input."""
    depth: int = 1
    """Layers per entry of `widths`."""
    kernel: int = 3
    """Side of the convolution kernels."""
    first_kernel: int | None = None
    """Side of the first layer's kernels, where it differs."""
    stride: int = 1
    """Stride of the first convolution."""
    pool: Literal["max", "avg", "stride", "none"] = "max"
    """How a stage halves its map: max or average pooling, a convolution of stride 2, or not at all."""
    activation: Literal["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "softplus", "silu"] = "relu"
    norm: Literal["none", "batch", "layer", "local_response"] = "none"
    """Batch or layer normalisation before each activation, or local response normalisation after that of each
    convolution (across channels)."""
    dropout: float = 0.0
    """Probability of dropping an activation before each dense layer that does not read the image itself."""
    head: Literal["dense", "global_avg"] = "dense"
    """What turns the last map into features: a hidden dense layer, or the mean over all pixels."""
    head_width: int = 128
    """Units of the dense head's hidden layer; 0 for none."""
    initializer: str = "glorot_uniform"
    """Distribution of the initial weights; biases start at 0."""
    initializer_scale: float | None = None
    """Its value, deviation, bound or gain. None: its usual one."""
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    """What the layers compute in. With bfloat16 the parameters and the loss stay float32."""

    def __post_init__(self):
        _settle(self, "model")
        widths_ok = self.widths is None or (len(self.widths) > 0 and min(self.widths) > 0)
        require(widths_ok, "model.widths", self.widths, "one positive width or more")
        for name in ("depth", "kernel", "stride"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "1 or more")
        require(
            self.first_kernel is None or self.first_kernel >= 1, "model.first_kernel", self.first_kernel, "1 or more"
        )
        require(0 <= self.dropout <= 1, "model.dropout", self.dropout, "a probability in [0, 1]")
        require(self.head_width >= 0, "model.head_width", self.head_width, "0 or more")


@dataclass(frozen=True)
class OptimConfig:
    """Gradient descent. Schedules are in fractions of the whole run, so they stretch with it."""

    name: str = "nesterov"
    """sgd, momentum, nesterov, adam or adamw."""
    learning_rate: float = 0.05
    momentum: float = 0.9
    """For momentum and nesterov; the first moment's decay of adam."""
    weight_decay: float = 0.0
    """Shrinks the weights, not the biases."""
    decoupled: bool = False
    """Subtract learning rate × decay × weight itself (as AdamW does), instead of adding it to the gradient."""
    clip_norm: float | None = None
    """Longest gradient, as the norm over all parameters."""
    schedule: Literal["constant", "step", "cosine", "linear"] = "cosine"
    """What follows the warm-up: nothing, steps down, half a cosine to 0, a straight line to 0."""
    warmup: float = 0.0
    """Fraction of the run over which the learning rate rises linearly from 0."""
    step_at: tuple[float, ...] = (0.5, 0.75)
    """Fractions of the run at which `schedule=step` multiplies the learning rate by `step_factor`."""
    step_factor: float = 0.1

    def __post_init__(self):
        _settle(self, "optim")
        require(self.learning_rate > 0, "optim.learning_rate", self.learning_rate, "a positive number")
        require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "a number in [0, 1)")
        require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "0 or more")
        require(self.clip_norm is None or self.clip_norm > 0, "optim.clip_norm", self.clip_norm, "a positive number")
        require(0 <= self.warmup <= 1, "optim.warmup", self.warmup, "a fraction in [0, 1]")
        steps_ok = list(self.step_at) == sorted(self.step_at) and all(0 < at < 1 for at in self.step_at)
        require(steps_ok, "optim.step_at", self.step_at, "rising fractions in (0, 1)")
        require(self.step_factor > 0, "optim.step_factor", self.step_factor, "a positive number")


@dataclass(frozen=True)
class TrainConfig:
    """How long, in what portions, against which loss."""

    epochs: int = 20
    batch_size: int | Literal["full"] = 64
    """1 is stochastic, `full` is batch gradient descent, anything between is mini-batch."""
    loss: Literal["softmax", "weston_watkins", "crammer_singer"] = "softmax"
    label_smoothing: float = 0.0
    """Share of each target spread evenly over all classes; with another loss than softmax it must be 0."""

    def __post_init__(self):
        _settle(self, "train")
        require(self.epochs >= 1, "train.epochs", self.epochs, "1 or more")
        require(self.batch_size == "full" or self.batch_size >= 1, "train.batch_size", self.batch_size, "1 or more")
        require(0 <= self.label_smoothing <= 1, "train.label_smoothing", self.label_smoothing, "a number in [0, 1]")
        smooths, only = self.loss == "softmax", f"0 where train.loss is {self.loss!r}, which has no targets to smooth"
        require(smooths or not self.label_smoothing, "train.label_smoothing", self.label_smoothing, only)


@dataclass(frozen=True)
class RunConfig:
    """One training run. Equal configs (equal hashes) on one platform give equal bits."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    gradient: Literal["hand", "auto"] = "hand"
    """Gradients derived by hand, or by JAX from the same forward pass."""
    seed: int = 0

    def __post_init__(self):
        _settle(self)
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        # JAX would keep the low 32 bits of a larger one, without a word, and make two seeds one.
        require(self.seed < 2**32, "seed", self.seed, "less than 2**32")


def _settle(config: Any, section: str = "") -> None:
    """Give every plain value its field's own type (1 becomes 1.0, a list a tuple), so that equal configs look alike.

    Raises ValueError for a value of another type, and for a word that is not one of the choices.
    """
    for name, hint in get_type_hints(type(config)).items():
        if not dataclasses.is_dataclass(hint):
            value = _typed(getattr(config, name), hint, f"{section}.{name}" if section else name)
            object.__setattr__(config, name, value)


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type, values: dict[str, Any], *, base: Any = None, path: str = "") -> Any:
    """The config of class `cls` that `values` describe; what they leave out is taken from `base` or the defaults.

    Raises ValueError for an unknown key (listing the known ones) and for a value of another type.
    """
    base = cls() if base is None else base
    where = f" in {path}" if path else ""
    require(isinstance(values, dict), path or "the config", values, "a mapping of settings")
    known = {f.name: hint for f in dataclasses.fields(cls) for hint in [get_type_hints(cls)[f.name]]}
    for key in values:
        if key not in known:
            raise ValueError(f"unknown key {key!r}{where}: expected one of {', '.join(known)}")
    changes = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if dataclasses.is_dataclass(known[key]):
            changes[key] = from_dict(known[key], value, base=getattr(base, key), path=name)
        else:
            changes[key] = _typed(value, known[key], name)
    return dataclasses.replace(base, **changes)


def _typed(value: Any, hint: Any, name: str) -> Any:
    """`value` as the type `hint` (JSON has lists for tuples, and ints may stand for floats)."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if get_origin(option) is Literal:
            if value in get_args(option) and isinstance(value, str):
                return value
        elif get_origin(option) is tuple:
            if isinstance(value, list | tuple):
                return tuple(_typed(item, get_args(option)[0], name) for item in value)
        elif option is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
            require(math.isfinite(value), name, value, "a finite number")
            return float(value)
        elif option is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
            require(abs(value) <= LARGEST, name, value, f"a number up to {LARGEST}")
            return int(value)
        elif option in (str, bool, types.NoneType) and type(value) is option:
            return value
    listed = " or ".join(
        ", ".join(map(repr, get_args(o))) if get_origin(o) is Literal else getattr(o, "__name__", str(o))
        for o in options
    )
    raise ValueError(f"{name} is {value!r}: expected {listed}")


def content_hash(config: Any) -> str:
    """Twelve hexadecimal digits that depend on every value of the config (or of its `to_dict`) and on nothing else."""
    values = config if isinstance(config, dict) else to_dict(config)
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def differences(theirs: Any, ours: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two nested mappings differ: dotted name -> (theirs, ours); what one of them lacks is None there."""
    if not (isinstance(theirs, dict) and isinstance(ours, dict)):
        return {} if theirs == ours else {path: (theirs, ours)}
    found = {}
    for key in dict.fromkeys([*theirs, *ours]):
        found |= differences(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
    return found


def describe_differences(theirs: Any, ours: Any, there: str, here: str) -> str:
    """The same as text: "train.epochs (40 there, 20 here), seed (3 there, 0 here)"."""
    found = differences(theirs, ours).items()
    return ", ".join(f"{name} ({a!r} {there}, {b!r} {here})" for name, (a, b) in found)
