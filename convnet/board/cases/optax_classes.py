"""`optax.losses`: more than two classes, sequences, masks."""

from __future__ import annotations

import itertools

import numpy as np
from mpmath import mp, mpf

from convnet.board import exact, real
from convnet.board.case import Case, at, case, numbers
from convnet.board.cases.nn_reductions import MASK, kept
from convnet.board.cases.optax_projections import simplex

SCORES = (
    *at("generic", numbers(0.3, -1.2, 2.1), numbers(-0.7, 0.4, 0.1)),
    *at("tail", numbers(300.0, 299.0, -5.0), numbers(-800.0, -801.0, -750.0), numbers(0.0, 1000.0, 1.0)),
    *at("tie", numbers(1.5, 1.5, 1.5), numbers(2.0, 2.0, -1.0)),
    *at("branch", numbers(1.0, 0.0, 1.0), numbers(0.25, 1.25, 0.125)),
    *at("zero", numbers(0.0, 0.0, 0.0)),
)
TRUE = 1
"""The label of all scores."""
DISTRIBUTION = (
    *at("generic", (numbers(0.3, -1.2, 2.1), numbers(0.2, 0.3, 0.5))),
    *at("tail", (numbers(300.0, 299.0, -5.0), numbers(0.2, 0.3, 0.5)),
        (numbers(0.0, -1000.0, 1.0), numbers(0.5, 0.0, 0.5))),
    *at("tie", (numbers(1.5, 1.5, 1.5), numbers(0.2, 0.3, 0.5))),
    *at("zero", (numbers(0.3, -1.2, 2.1), numbers(0.0, 1.0, 0.0)), (numbers(0.0, 0.0, 0.0), numbers(0.0, 0.0, 1.0))),
)  # fmt: skip
"""Logits and probabilities."""
PROBABILITIES = (
    *at("generic", (numbers(-0.3, -1.2, -2.1), numbers(0.2, 0.3, 0.5))),
    *at("tail", (numbers(-300.0, -1e-10, -5.0), numbers(0.2, 0.3, 0.5))),
    *at("tie", (np.log([0.2, 0.3, 0.5]), numbers(0.2, 0.3, 0.5))),
)
"""Logarithms of predictions, and targets."""
CERTAIN = at("zero", (numbers(-0.3, -1.2, -2.1), numbers(0.0, 1.0, 0.0)))
LOGARITHMS = (
    *at("generic", (numbers(-0.3, -1.2, -2.1), numbers(-0.5, -1.0, -3.0))),
    *at("tail", (numbers(-0.3, -300.0, -2.1), numbers(-300.0, -1e-10, -800.0))),
    *at("tie", (numbers(-0.5, -1.0, -3.0), numbers(-0.5, -1.0, -3.0))),
)


def cross_entropy(x: np.ndarray, p: np.ndarray) -> mpf:
    return -sum(p * exact.log_softmax(x))


def of_class(x: np.ndarray) -> mpf:
    return -exact.log_softmax(x)[TRUE]


def poly(x: np.ndarray, p: np.ndarray, epsilon: int = 2) -> mpf:
    return cross_entropy(x, p) + epsilon * sum(p * (1 - exact.softmax(x)))


def divergence(x: np.ndarray, p: np.ndarray) -> mpf:
    return sum(b * (mp.log(b) - a) if b else mpf(0) for a, b in zip(x, p, strict=True))


def sparsemax(x: np.ndarray) -> mpf:
    """max over distributions p of ⟨p, x⟩ + ½ (1 − ‖p‖²), less x of the true class."""
    p = simplex(x, mpf(1))
    return p @ x + (1 - p @ p) / 2 - x[TRUE]


def hinge(x: np.ndarray) -> mpf:
    return max(value + (k != TRUE) for k, value in enumerate(x)) - x[TRUE]


def ctc(logits: np.ndarray, labels: tuple[int, ...]) -> mpf:
    """−log of the sum over all paths [T] that say the labels when repetitions and blanks (0) are taken out."""
    logs = np.array([exact.log_softmax(row) for row in logits])
    paths = itertools.product(range(logits.shape[1]), repeat=len(logits))
    said = (path for path in paths if tuple(k for k, _ in itertools.groupby(path) if k) == labels)
    return -real.logsumexp(sum(logs[t, k] for t, k in enumerate(path)) for path in said)


def dice(x: np.ndarray, t: np.ndarray, *, alpha="0.5", beta="0.5", smooth=1) -> np.ndarray:
    """[pixels, classes] of probabilities and targets -> [classes]."""
    both = (x * t).sum(0)
    missed = mpf(alpha) * (x.sum(0) - both) + mpf(beta) * (t.sum(0) - both)
    return 1 - (both + smooth) / (both + missed + smooth)


def generalized_dice(x: np.ndarray, t: np.ndarray) -> mpf:
    weights = 1 / (t.sum(0) ** 2 + mpf("1e-7"))
    return sum(dice(exact.softmax(x), t) * weights) / sum(weights)


def classes(name: str, oracle, points, call: str = "", **options) -> Case:
    """Of scores [3] of one example."""
    return case(f"optax.losses.{name}", oracle, points, call=call or f"optax.losses.{name}(x, jnp.array({TRUE}))",
                elementwise=False, **options)  # fmt: skip


def pairs(name: str, oracle, points, options: str = "", call: str = "") -> Case:
    call = call or f"optax.losses.{name}(x, y{options})"
    return case(f"optax.losses.{name}", oracle, points, args="x, y", wrt=(0, 1), elementwise=False, call=call)


def frames(labels: tuple[int, ...], points, function: str = "ctc_loss", end: str = "") -> Case:
    call = f"optax.losses.{function}(x[None], jnp.zeros((1, {len(points[0].args[0])})), jnp.array([{list(labels)}]), "
    return case(f"optax.losses.{function}", lambda x: ctc(x, labels), points, elementwise=False,
                call=f"{call}jnp.zeros((1, {len(labels)}))){end}")  # fmt: skip


LATTICE = (
    *at("generic", np.array([[0.3, -1.2], [2.1, 0.4], [-0.5, 1.0]])),
    *at("tail", np.array([[3.0, -2.0], [1.0, 2.5], [-2.0, 1.0]])),
    *at("tie", np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])),
)
PIXELS = (
    *at("generic", (np.array([[0.3, -1.2], [2.1, 0.4]]), np.array([[1.0, 0.0], [0.0, 1.0]])),
        (np.array([[0.3, -1.2], [2.1, 0.4]]), np.array([[0.3, 0.7], [0.6, 0.4]]))),
    *at("tail", (np.array([[300.0, -1.2], [2.1, 40.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))),
    *at("tie", (np.array([[1.5, 1.5], [1.5, 1.5]]), np.array([[1.0, 0.0], [0.0, 1.0]]))),
)  # fmt: skip
BINARY = (
    *at("generic", (numbers(0.3, -1.2, 2.1), numbers(1.0, 0.0, 1.0)), (numbers(0.3, -1.2), numbers(0.3, 0.8))),
    *at("tail", (numbers(300.0, -300.0), numbers(0.0, 1.0))),
)


def binary_dice(x: np.ndarray, t: np.ndarray) -> mpf:
    return dice(exact.entrywise(real.logistic)(x)[:, None], t[:, None])[0]


CASES: tuple[Case, ...] = (
    pairs("softmax_cross_entropy", cross_entropy, DISTRIBUTION),
    pairs("softmax_cross_entropy", lambda x, p: cross_entropy(kept(x), kept(p)), DISTRIBUTION, f", {MASK}"),
    pairs("safe_softmax_cross_entropy", cross_entropy, DISTRIBUTION),
    classes("softmax_cross_entropy_with_integer_labels", of_class, SCORES),
    classes("softmax_cross_entropy_with_integer_labels", lambda x: real.logsumexp(x[:2]) - x[TRUE], SCORES[:4],
            "optax.losses.softmax_cross_entropy_with_integer_labels(x, jnp.array(1), "
            "where=jnp.array([True, True, False]))"),
    pairs("poly_loss_cross_entropy", poly, DISTRIBUTION),
    pairs("poly_loss_cross_entropy", lambda x, p: poly(kept(x), kept(p), -1), DISTRIBUTION, f", epsilon=-1.0, {MASK}"),
    pairs("kl_divergence", divergence, PROBABILITIES),
    case("optax.losses.kl_divergence", divergence, CERTAIN, args="x, y", elementwise=False),
    pairs("kl_divergence_with_log_targets", lambda x, y: sum(exact.exp(y) * (y - x)), LOGARITHMS),
    pairs("generalized_kl_divergence", lambda x, p: divergence(x, p) + sum(exact.exp(x) - p), PROBABILITIES),
    pairs("make_fenchel_young_loss", lambda x, p: real.logsumexp(x) - p @ x, DISTRIBUTION,
          call="optax.losses.make_fenchel_young_loss(jax.nn.logsumexp)(x, y)"),
    classes("multiclass_hinge_loss", hinge, SCORES),
    classes("multiclass_perceptron_loss", lambda x: max(x) - x[TRUE], SCORES),
    classes("multiclass_sparsemax_loss", sparsemax, SCORES,
            "optax.losses.multiclass_sparsemax_loss(x[None], jnp.array([1]))"),
    pairs("ranking_softmax_loss", cross_entropy, DISTRIBUTION),
    pairs("ranking_softmax_loss", lambda x, p: cross_entropy(kept(x), kept(p)), DISTRIBUTION, f", {MASK}"),
    case("optax.losses.ranking_softmax_loss", lambda x, w: cross_entropy(kept(x), kept(w) * np.array([1, 2])),
         at("generic", (numbers(0.3, -1.2, 2.1), numbers(0.7, 0.2, 1.4))), args="x, w", wrt=(0, 1), elementwise=False,
         call=f"optax.losses.ranking_softmax_loss(x, jnp.array([1, 1, 2]), weights=w, {MASK})"),
    frames((1,), LATTICE),
    frames((1, 1), LATTICE),
    frames((1, 2), at("generic", np.array([[0.3, -1.2, 0.8], [2.1, 0.4, -0.6]]))),
    frames((1,), LATTICE[:1], "ctc_loss_with_forward_probs", "[0]"),
    case("optax.losses.ctc_loss", lambda x: ctc(x[:2], (1,)), LATTICE[:1], elementwise=False,
         call="optax.losses.ctc_loss(x[None], jnp.array([[0.0, 0.0, 1.0]]), jnp.array([[1, 0]]), "
              "jnp.array([[0.0, 1.0]]))"),
    pairs("dice_loss", lambda x, t: sum(dice(exact.softmax(x), t)) / 2, PIXELS,
          call="optax.losses.dice_loss(x[None], y[None])"),
    pairs("dice_loss", lambda x, t: dice(exact.softmax(x), t, alpha="0.3", beta="0.7", smooth=mpf("1e-3"))[1:],
          PIXELS[:2],
          call="optax.losses.dice_loss(x[None], y[None], alpha=0.3, beta=0.7, smooth=1e-3, reduction='none', "
               "ignore_background=True)"),
    pairs("multiclass_generalized_dice_loss", generalized_dice, PIXELS,
          call="optax.losses.multiclass_generalized_dice_loss(x[None], y[None])"),
    pairs("binary_dice_loss", binary_dice, BINARY, call="optax.losses.binary_dice_loss(x[None], y[None])"),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
