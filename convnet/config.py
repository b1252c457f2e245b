"""What a run is, as frozen dataclasses of plain values (`convnet.settings` has what they have in common).

A model's settings are its own class (`convnet.architectures`). Whether another *name* (of a data set, an optimiser, …)
exists is known to the table that it is looked up in; everything else is refused here, at construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from convnet.architectures import CNN, MODELS, ModelConfig
from convnet.rates import parsed
from convnet.settings import LATER, PLACE, from_dict, require, settle


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how training varies them.

    `folder` becomes an absolute path, and `name` what the folder is called. Where it lies decides nothing: it is part
    of the config's JSON, so that the images are found again, but of neither its hash nor a run's identity, which has
    the name and the digest of the images instead. So a run on a folder that was moved can be resumed, given its place.
    """

    name: str = "digits"
    """Data set: digits (embedded), mnist or cifar10 (prepared for TFDS)."""
    limit: int | None = None
    """Train on this many examples only (or all of a folder that has fewer), the same fraction of each class."""
    shift: int = 0
    """Move each training image by up to this many pixels each way."""
    flip: bool = False
    """Mirror half of the training images left to right."""
    crop: int | None = None
    """Train on random windows of this many pixels a side (evaluation takes the centre)."""
    folder: str | None = field(default=None, metadata=PLACE)
    """Folder of image files of your own, a subfolder per class, instead of a data set; the data get its name."""
    size: int | None = field(default=None, metadata=LATER)
    """Bring the folder's images to this many pixels a side: resized until they cover it, cut to the centre."""
    skip_unreadable: bool = field(default=False, metadata=LATER)
    """Leave out files of the folder that cannot be read, instead of listing and refusing them."""
    alternate: bool = field(default=False, metadata=LATER)
    """With flip: mirror each training image in every other epoch, instead of in every epoch with probability ½."""
    border: Literal["zero", "reflect"] = field(default="zero", metadata=LATER)
    """What comes into a training image that is moved: black, or the image's reflection."""
    views: Literal["one", "mirror", "mirror_shift"] = field(default="one", metadata=LATER)
    """What of an image is classified: itself (one); itself and its mirror image, whose logits are averaged (mirror);
    both, and both moved along the diagonal by a pixel, up and down, which together count half (mirror_shift)."""

    def __post_init__(self):
        settle(self, "data")
        require(self.flip or not self.alternate, "data.alternate", self.alternate, "False where data.flip is False")
        require(self.size is None or self.size > 0, "data.size", self.size, "a positive number of pixels")
        if self.folder is not None:
            place = Path(self.folder).expanduser().resolve()
            expected = f"none beside data.folder, which names the data {place.name!r}"
            require(self.name in (type(self).name, place.name), "data.name", self.name, expected)
            object.__setattr__(self, "folder", str(place))
            object.__setattr__(self, "name", place.name)
        require(self.limit is None or self.limit > 0, "data.limit", self.limit, "a positive number of examples")
        require(self.shift >= 0, "data.shift", self.shift, "pixels, 0 or more")
        require(self.crop is None or self.crop > 0, "data.crop", self.crop, "a positive number of pixels")


@dataclass(frozen=True)
class OptimConfig:
    """Gradient descent. Schedules are in fractions of the whole run, so they stretch with it."""

    name: str = "nesterov"
    """sgd, momentum, nesterov, adam, adamw or muon."""
    learning_rate: float = 0.05
    momentum: float = 0.9
    """For momentum, nesterov and muon; the first moment's decay of adam."""
    weight_decay: float = 0.0
    """Shrinks the weights, not the biases, and not what `rescale` keeps at one length."""
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
    rates: tuple[str, ...] = field(default=(), metadata=LATER)
    """Peak learning rates of parameters by name, PATTERN=RATE, such as logits/*=0.01; the first pattern that fits
    counts, and 0 freezes. PATTERN=RATE@FRACTION ends after that fraction of the run."""
    newton_schulz_steps: int = field(default=5, metadata=LATER)
    """For muon: how often the direction of a kernel is brought nearer to an orthogonal matrix."""
    rest_momentum: float | None = field(default=None, metadata=LATER)
    """For muon: the momentum of what it leaves to nesterov, biases and logits. None: the same."""
    rescale: bool = field(default=False, metadata=LATER)
    """For muon: before each update, bring its kernels to the norm √(outputs). Meant for kernels that a normalisation
    follows, whose length changes nothing."""

    def __post_init__(self):
        settle(self, "optim")
        for rate in self.rates:
            parsed(rate)
        require(self.newton_schulz_steps >= 1, "optim.newton_schulz_steps", self.newton_schulz_steps, "1 or more")
        rest = self.rest_momentum
        require(rest is None or 0 <= rest < 1, "optim.rest_momentum", rest, "a number in [0, 1)")
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
        settle(self, "train")
        require(self.epochs >= 1, "train.epochs", self.epochs, "1 or more")
        require(self.batch_size == "full" or self.batch_size >= 1, "train.batch_size", self.batch_size, "1 or more")
        require(0 <= self.label_smoothing <= 1, "train.label_smoothing", self.label_smoothing, "a number in [0, 1]")
        smooths, only = self.loss == "softmax", f"0 where train.loss is {self.loss!r}, which has no targets to smooth"
        require(smooths or not self.label_smoothing, "train.label_smoothing", self.label_smoothing, only)


@dataclass(frozen=True)
class RunMesh:
    """Devices that compute one run together. They decide no more than the last bits of its results, and so are no part
    of what it is."""

    batch: int | None = None
    """Devices among which each batch is divided. Default: all there are, or as many of them as divide it evenly; where
    many replicates train in one program, one."""

    def __post_init__(self):
        settle(self, "mesh")
        for name, value in vars(self).items():
            require(value is None or value >= 1, f"mesh.{name}", value, "1 or more devices")


@dataclass(frozen=True)
class MeshConfig(RunMesh):
    """Devices that compute together."""

    replicates: int | None = None
    """Devices among which replicates are divided that train in one program. Default: all there are."""


ALL_DEVICES = MeshConfig()


@dataclass(frozen=True)
class RunConfig:
    """One training run. Equal configs (equal hashes) on one platform give equal bits."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=CNN)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    gradient: Literal["hand", "auto"] = "hand"
    """Gradients derived by hand, or by JAX from the same forward pass."""
    seed: int = 0

    def __post_init__(self):
        settle(self)
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        # JAX would keep the low 32 bits of a larger one, without a word, and make two seeds one.
        require(self.seed < 2**32, "seed", self.seed, "less than 2**32")


def recorded(values: Mapping[str, Any], folder: str | None = None) -> RunConfig:
    """The config that a manifest holds; folder: where it says, apart from that, that the images lay. Older versions
    wrote every model's settings down for each: what a model has no use for, but the CNN has, is left out.

    Raises ValueError for what is no config.
    """
    model = values.get("model")
    name = model.get("name") if isinstance(model, Mapping) else None
    kind = MODELS.get(name) if isinstance(name, str) else None
    if kind is not None:
        own, older = ({f.name for f in fields(cls)} for cls in (kind, CNN))
        values = {**values, "model": {key: value for key, value in model.items() if key in own or key not in older}}
    config = from_dict(RunConfig, values)
    return config if folder is None else replace(config, data=replace(config.data, folder=folder))
