"""A gradient written by hand on trial: against `jax.grad` parameter by parameter, in training, and by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet import data, models, train
from convnet.architectures import CNN, MLP, Linear
from convnet.data import Dataset
from convnet.identity import environment
from convnet.ops import OPSETS
from convnet.progress import progress
from convnet.report import study, text_table
from convnet.report.backprop_page import (
    PRECISIONS,
    WAYS,
    Outcome,
    Run,
    gradients_table,
    results_table,
    write_trial,
)
from convnet.settings import require
from convnet.task import computing_in

MODELS = {
    "linear": Linear(),
    "mlp": MLP(widths=(512,)),
    "cnn": CNN(widths=(32,), depth=2),
    "cnn_smooth": CNN(widths=(32,), depth=2, activation="tanh", pool="avg"),
}
"""The models of the comparison on digits (convnet/recipes.py) without dropout, and a CNN that has no kinks."""

BATCH, RATE, QUICK_SEEDS, QUICK_EPOCHS = 32, 0.05, 1, 2
BOUND = 1e-12
"""Largest relative difference in float64 that counts as rounding: ε is 2·10⁻¹⁶, the sums have some thousand terms."""
QUICK_COMPILER = {"xla_backend_optimization_level": 0}
"""For programs that run a few times: compiles in half the time."""

Gradient = Callable[[Any, Array, Array], tuple[Array, tuple[Any, Array]]]
"""(params, images [N, H, W, C], labels [N]) -> (loss, (dL/dparams, dL/dimages))."""

ByHand = Callable[[models.Network, tuple[int, int, int]], Gradient]
"""(model, image_shape) -> its gradient."""


@dataclass(frozen=True)
class Trial:
    """Back-propagation written out by hand, against jax.grad of the same linear classifier, MLP and CNN on handwritten
    digits: the largest difference in each parameter's gradient, both training curves, seconds per step. Writes a
    self-contained report.html. Exit code 1 where a gradient differs by more than rounding."""

    models: tuple[str, ...] = tuple(MODELS)
    """Models to differentiate."""
    seeds: int = 3
    """Starts, with seeds 0, 1, …; each has its own weights and order of the examples."""
    epochs: int = 10
    """Epochs of plain gradient descent from each start."""
    reference: Literal["hand", "auto"] = "hand"
    """What jax.grad differentiates: the project's ops, which bring rules of their own, or the plain forward passes."""
    out: Path | None = None
    """Directory of the results; one that holds those of other settings is refused. Default: runs/backprop_by_hand, and
    for other settings than the usual a directory of their own beside it."""
    quick: bool = False
    """One start, two epochs: a check that everything runs."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that the results depend on, but for versions and machine."""
        seeds, epochs = self.seeds, self.epochs
        if self.quick:
            seeds, epochs = min(seeds, QUICK_SEEDS), min(epochs, QUICK_EPOCHS)
        return {"models": list(self.models), "seeds": seeds, "epochs": epochs, "reference": self.reference}

    @property
    def directory(self) -> Path:
        usual = Path("runs", "backprop_by_hand" + ("-quick" if self.quick else ""))
        return self.out or study.directory(usual, self.settings, Trial(quick=self.quick).settings)


def gradient_by_jax(model: models.Network) -> Gradient:
    """Of the mean cross-entropy, by autodiff of `model`."""

    def loss(params, images: Array, labels: Array) -> Array:
        return jnp.mean(model.ops.softmax_cross_entropy(model.apply({"params": params}, images), labels))

    return jax.value_and_grad(loss, argnums=(0, 1))


def relative_differences(found, expected) -> dict[str, float]:
    """max |a − b| / max |b| of each entry of (dL/dparams, dL/dimages); ∞ for another shape, and where only b is 0."""
    found, expected = (models.flatten(dw) | {"images": dx} for dw, dx in (found, expected))
    differences = {}
    for name, b in expected.items():
        a, b = np.asarray(found[name]), np.asarray(b)
        error = np.abs(a - b).max() if a.shape == b.shape else np.inf
        differences[name] = float(error / scale if (scale := np.abs(b).max()) else np.inf if error else 0.0)
    return differences


def make_epoch(gradient: Gradient) -> Callable:
    """`epoch(params, images, labels, batches [steps, BATCH]) -> (params, losses [steps])`: w ← w − η dL/dw, no more."""

    def epoch(params, images: Array, labels: Array, batches: Array):
        def step(params, rows: Array):
            loss, (dw, _) = gradient(params, images[rows], labels[rows])
            return jax.tree.map(lambda w, dw: w - RATE * dw, params, dw), loss

        return jax.lax.scan(step, params, batches)

    return epoch


def contest(
    model: models.Network, by_hand: ByHand, dataset: Dataset, starts: list, orders: np.ndarray, bar
) -> list[Run]:
    """Both gradients of `model` from each start: compared there, trained with, and compared again.

    orders: the images of each batch, [seeds, epochs, steps, BATCH].
    """
    gradients = dict(zip(WAYS, (by_hand(model, dataset.image_shape), gradient_by_jax(model)), strict=True))
    with computing_in(model.precision):
        # In the precision of the model, or the gradient in the images would be rounded.
        images = data.normalize(dataset.train.images, dataset.mean, dataset.std).astype(model.precision)
        labels = jnp.asarray(dataset.train.labels)
        starts = jax.tree.map(lambda w: w.astype(model.precision), starts)
        alone = {way: jax.jit(gradient, compiler_options=QUICK_COMPILER) for way, gradient in gradients.items()}
        epochs = {way: jax.jit(make_epoch(gradient)) for way, gradient in gradients.items()}
        epochs = {way: e.lower(starts[0], images, labels, orders[0, 0]).compile() for way, e in epochs.items()}

        def differences(params, rows: np.ndarray) -> dict[str, float]:
            return relative_differences(*(alone[way](params, images[rows], labels[rows])[1] for way in WAYS))

        runs = []
        for start, order in zip(starts, orders, strict=True):
            end, losses, seconds = race(epochs, start, images, labels, order, bar)
            before, after = (differences(params, order[0, 0]) for params in (start, end))
            worst = {name: float(np.maximum(before[name], after[name])) for name in before}  # NaN wins
            runs.append(Run(worst, losses, seconds))
    return runs


def race(epochs: dict[str, Callable], start, images: Array, labels: Array, order: np.ndarray, bar) -> tuple:
    """Train both ways from `start` over the same batches: (params of jax.grad, losses, seconds) as `Run` has them.

    Epoch by epoch in turn, so that what slows the machine down for a while slows both.
    """
    params, losses, seconds = dict.fromkeys(WAYS, start), {way: [] for way in WAYS}, {way: [] for way in WAYS}
    for batches in order:
        for way in WAYS:
            begin = time.perf_counter()
            params[way], values = jax.block_until_ready(epochs[way](params[way], images, labels, batches))
            seconds[way].append((time.perf_counter() - begin) / len(batches))
            losses[way].append(values)
            bar.update()
    return params["jax.grad"], *({way: np.array(kind[way]) for way in WAYS} for kind in (losses, seconds))


def try_model(name: str, reference: str, by_hand: ByHand, dataset: Dataset, orders: np.ndarray, bar) -> Outcome:
    """Both precisions from the same starts, drawn in float32."""
    model = models.build(MODELS[name], num_classes=dataset.num_classes, ops=OPSETS[reference])
    image, init = jnp.zeros((1, *dataset.image_shape)), jax.jit(model.init)
    starts = [init(train.stream(jax.random.key(seed), "init"), image)["params"] for seed in range(len(orders))]
    runs = {}
    for precision in PRECISIONS:
        bar.set_postfix_str(f"{name}, {precision}")
        runs[precision] = contest(model.clone(precision=precision), by_hand, dataset, starts, orders, bar)
    shapes = {path: w.shape for path, w in models.flatten(starts[0]).items()}
    return Outcome(name, shapes | {"images": (BATCH, *dataset.image_shape)}, runs)


def draw_orders(seeds: int, epochs: int, n: int) -> np.ndarray:
    """[seeds, epochs, steps, BATCH]: as the project draws them."""
    order = jax.jit(data.epoch_order, static_argnums=(1, 2))
    keys = [[train.stream(jax.random.key(seed), "order", epoch) for epoch in range(epochs)] for seed in range(seeds)]
    return np.array([[order(key, n, BATCH) for key in row] for row in keys])


def check(settings: Trial) -> None:
    """Raises ValueError for an unknown model, a number out of range, a directory that holds something else."""
    chosen = settings.models
    require(len(set(chosen)) == len(chosen) > 0, "models", chosen, "distinct models")
    for name in chosen:
        require(name in MODELS, "model", name, f"one of {', '.join(MODELS)}")
    require(settings.seeds >= 1, "seeds", settings.seeds, "1 or more")
    require(settings.epochs >= 1, "epochs", settings.epochs, "1 or more")
    study.check_same(settings.directory, "backprop_by_hand", settings.settings)


def run_trial(settings: Trial, by_hand: ByHand) -> int:
    """Try `by_hand` on every model and write the directory: 0 where all gradients agree in float64, else 1; 1 also
    where a part of the report could not be made.

    Raises ValueError before anything is written.
    """
    check(settings)
    out, seeds, epochs = settings.directory, settings.settings["seeds"], settings.settings["epochs"]
    dataset = data.load("digits")
    orders = draw_orders(seeds, epochs, len(dataset.train))
    total = len(settings.models) * len(PRECISIONS) * seeds * epochs * len(WAYS)
    with progress(total, "epoch") as bar:
        outcomes = [try_model(name, settings.reference, by_hand, dataset, orders, bar) for name in settings.models]
    study.reserve(out, "backprop_by_hand", settings.settings)
    study.write_results(out, "summary.json", {"models": [o.summary() for o in outcomes]}, environment())
    missing = write_trial(out / "report.html", outcomes, _facts(settings.reference, seeds, epochs))
    print(text_table(gradients_table(outcomes)), text_table(results_table(outcomes)), sep="\n\n")
    wrong = disagreements(outcomes)
    worst = max(o.worst("float64") for o in outcomes)
    print(f"\nWRONG in float64: {', '.join(wrong)}" if wrong else f"\nall agree: float64 to {worst:.1e}")
    print(f"report: {out / 'report.html'}")
    return max(study.report_missing(missing), 1 if wrong else 0)


def _facts(reference: str, seeds: int, epochs: int) -> dict[str, str]:
    starts = f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
    ops = {"hand": "ops with hand-derived rules", "auto": "plain forward passes"}[reference]
    return {
        "compared": f"layers written out by hand, and jax.grad of the project's models through {ops}",
        "budget": f"digits; {starts}; {epochs} epochs of batch {BATCH}, gradient descent of rate {RATE}",
    }


def disagreements(outcomes: list[Outcome]) -> list[str]:
    """The parameters whose gradients differ by more than rounding, NaN included."""
    return [
        f"{o.name} {parameter}"
        for o in outcomes
        for parameter in o.shapes
        if not o.difference(parameter, "float64") <= BOUND
    ]
