"""The recipe as a whole, timed: from images of bytes on the device to the accuracy on the test images."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.peers.torch_cifar10 import data
from benchmarks.peers.torch_cifar10.muon import Muon, newton_schulz
from benchmarks.peers.torch_cifar10.network import CHANNELS, CLASSES, Network, start
from benchmarks.peers.torch_cifar10.precision import settled
from benchmarks.peers.torch_cifar10.settings import Settings
from convnet.settings import require

PARAMETERS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "autocast": torch.float32,
}
ACTIVATIONS = PARAMETERS | {"autocast": torch.bfloat16}
VIEWS = {"accuracy": "none", "accuracy_mirror": "mirror", "accuracy_views": "six"}


class Rates(NamedTuple):
    """Learning rates of a step, in the order of the parameters' groups."""

    whitening_bias: float
    norm_biases: float
    head: float
    kernels: float


def rates(settings: Settings, step: int, steps: int) -> Rates:
    """All fall linearly; in step `steps` they would be 0, and the whitening's bias is there after its share of them."""
    rest = 1 - step / steps
    bias_rest = max(1 - step / math.ceil(settings.whitening_share * steps), 0.0)
    biases, head, kernels = settings.bias_rate, settings.head_rate, settings.muon_rate
    return Rates(biases * bias_rest, biases * rest, head * rest, kernels * rest)


class Optimizers:
    """SGD of biases and head, and Muon of the convolutions' kernels."""

    def __init__(self, network: Network, settings: Settings, orthogonal: Callable[[Tensor], Tensor]):
        decay = settings.decay * settings.batch_size
        groups = (
            ([network.whitening.bias], settings.bias_rate),
            ([norm.bias for norm in network.norms()], settings.bias_rate),
            ([network.head.weight], settings.head_rate),
        )
        self.sgd = torch.optim.SGD(
            [{"params": parameters, "lr": rate, "weight_decay": decay / rate} for parameters, rate in groups],
            momentum=settings.sgd_momentum,
            nesterov=True,
            fused=True,
        )
        self.muon = Muon(network.kernels(), momentum=settings.muon_momentum, orthogonal=orthogonal)

    def step(self, now: Rates) -> None:
        """Without a gradient a parameter stays as it is, and so does its momentum."""
        for group, rate in zip(self.sgd.param_groups, now[:-1], strict=True):
            group["lr"] = rate
        self.sgd.step()
        self.muon.step(now.kernels)


class Peer:
    """Images are uint8 [N, 32, 32, 3], labels numbers below 10. The network is built, and compiled, once; every run
    starts from new weights. On CPUs equal seeds give equal results; cuDNN promises less."""

    def __init__(
        self,
        settings: Settings,
        train_images: np.ndarray,
        train_labels: np.ndarray,
        test_images: np.ndarray,
        test_labels: np.ndarray,
    ):
        on_cuda = settings.device == "cuda"
        found = not on_cuda or torch.cuda.is_available()
        require(found, "device", settings.device, "cpu, since torch finds no CUDA device")
        self.settings = settings = settled(settings)
        if on_cuda:
            torch.backends.cudnn.benchmark = True
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = settings.precision != "float32"
        self._train_images, self._train_labels = self._on_device("train", train_images, train_labels)
        self._test_images, self._test_labels = self._on_device("test", test_images, test_labels)
        most = f"at most the number of training images, {len(train_images)}"
        require(settings.batch_size <= len(train_images), "batch_size", settings.batch_size, most)
        self.steps = settings.epochs * (len(train_images) // settings.batch_size)
        network = Network(
            settings.widths,
            divisor=settings.logit_divisor,
            epsilon=settings.norm_epsilon,
            momentum=settings.norm_momentum,
        )
        self.network = network.to(settings.device).in_precision(PARAMETERS[settings.precision])
        self._forward, self._newton_schulz = self.network, newton_schulz
        if settings.compiled:
            compiler = torch.compile(dynamic=False, mode=settings.compile_mode)
            self._forward, self._newton_schulz = compiler(self.network), compiler(newton_schulz)

    def _on_device(self, kind: str, images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        found = f"{images.dtype} {list(images.shape)}"
        wanted = images.dtype == np.uint8 and images.shape[1:] == (data.SIZE, data.SIZE, CHANNELS) and len(images) > 0
        require(wanted, f"{kind}_images", found, "uint8 [N, 32, 32, 3]")
        require(labels.shape == (len(images),), f"{kind}_labels", list(labels.shape), f"[{len(images)}]")
        least, most = int(labels.min()), int(labels.max())
        require(0 <= least <= most < CLASSES, f"{kind}_labels", [least, most], "0 to 9")
        device = self.settings.device
        return torch.tensor(images, device=device), torch.tensor(labels, dtype=torch.int64, device=device)

    def warm_up(self) -> None:
        """Compile and run each kind of step once, and the evaluation of all shapes that it will meet."""
        generator = self._generator(0)
        images = self._prepare(generator)
        optimizers = self._optimizers()
        batches = data.epoch_batches(images, 1, batch_size=self.settings.batch_size, generator=generator)
        batch, numbers = next(batches)
        for step in (0, self.steps - 1):
            self._step(optimizers, batch, self._train_labels[numbers], rates(self.settings, step, self.steps))
        remainder = len(self._test_images) % self.settings.batch_size
        self._evaluate(self._test_images[: self.settings.batch_size + remainder])

    def run(self, seed: int) -> dict[str, Any]:
        """Train a network and evaluate it: seconds of all and of each phase, accuracies (None for views that are not
        evaluated), the loss of an image in the last step (None where it is not finite), steps."""
        generator = self._generator(seed)
        times = [self._now()]
        images = self._prepare(generator)
        times.append(self._now())
        loss = self._train(images, generator)
        times.append(self._now())
        accuracies = self._evaluate(self._test_images)
        times.append(self._now())
        spans = (after - before for before, after in pairwise(times))
        return {
            "seed": seed,
            "seconds": times[-1] - times[0],
            "phases": dict(zip(("prepare", "train", "evaluate"), spans, strict=True)),
            **accuracies,
            "loss": loss if math.isfinite(loss) else None,
            "steps": self.steps,
        }

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.settings.device).manual_seed(seed)

    def _now(self) -> float:
        if self.settings.device == "cuda":
            torch.cuda.synchronize()
        return perf_counter()

    def _optimizers(self) -> Optimizers:
        iterations, coefficients = self.settings.iterations, self.settings.coefficients
        dtype = PARAMETERS[self.settings.iteration_precision]
        return Optimizers(
            self.network, self.settings, lambda matrix: self._newton_schulz(matrix, iterations, coefficients, dtype)
        )

    def _normalized(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        return data.normalized(images, self.settings.mean, self.settings.std, dtype)

    def _prepare(self, generator: torch.Generator) -> Tensor:
        """New weights; the padded images, each mirrored or not for the run."""
        first = self._normalized(self._train_images[: self.settings.whitening_images], torch.float32)
        start(self.network, data.channels_first(first), generator, self.settings.whitening_epsilon)
        images = self._normalized(self._train_images, ACTIVATIONS[self.settings.precision])
        return data.reflect_padded(data.mirrored_by_chance(images, generator), self.settings.shift)

    def _train(self, images: Tensor, generator: torch.Generator) -> float:
        """The last step's loss of an image."""
        optimizers, size, step = self._optimizers(), self.settings.batch_size, 0
        for epoch in range(self.settings.epochs):
            for batch, numbers in data.epoch_batches(images, epoch, batch_size=size, generator=generator):
                now = rates(self.settings, step, self.steps)
                loss = self._step(optimizers, batch, self._train_labels[numbers], now)
                step += 1
        return loss.item() / size

    def _step(self, optimizers: Optimizers, images: Tensor, labels: Tensor, now: Rates) -> Tensor:
        self.network.train()
        logits = self._logits(images, now.whitening_bias > 0)
        loss = functional.cross_entropy(
            logits.float(), labels, label_smoothing=self.settings.smoothing, reduction="sum"
        )
        loss.backward()
        optimizers.step(now)
        self.network.zero_grad(set_to_none=True)
        return loss.detach()

    def _logits(self, images: Tensor, bias_trained: bool) -> Tensor:
        autocast = self.settings.precision == "autocast"
        with torch.autocast(self.settings.device, torch.bfloat16, enabled=autocast):
            return self._forward(images, bias_trained)

    @torch.no_grad()
    def _evaluate(self, images: Tensor) -> dict[str, float | None]:
        """Accuracies on the first of the test images, which these are."""
        self.network.eval()
        labels = self._test_labels[: len(images)].split(self.settings.batch_size)
        images = self._normalized(images, ACTIVATIONS[self.settings.precision])
        order = list(VIEWS.values())
        known = {name: views for name, views in VIEWS.items() if order.index(views) <= order.index(self.settings.views)}
        hits = dict.fromkeys(known, 0)
        for batch, truth in zip(images.split(self.settings.batch_size), labels, strict=True):
            # A copy: a compiled network may write its next result where the last one lies.
            logits = [
                self._logits(view, False).to(torch.float32, copy=True)
                for view in data.views_of(batch, self.settings.views)
            ]
            for name, views in known.items():
                hits[name] += (data.averaged(logits, views).argmax(1) == truth).sum()
        return {name: hits[name].item() / len(images) if name in known else None for name in VIEWS}
