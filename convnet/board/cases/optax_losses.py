"""`optax.losses`: regression, and classification with two classes: entry by entry, or of pairs of vectors."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import real
from convnet.board.case import Case, at, case, numbers
from convnet.board.cases.elementwise_points import LINE, PLANE

ERRORS = (
    *PLANE,
    *at("tail", (300.0, -0.5), (0.5, 300.0), (1e-5, 0.0), (1e-10, 0.0), (1e-25, 0.0), (-30.0, 30.0)),
    *at("branch", (2.5, 1.5), (0.5, 1.5)),
)
"""Predictions and targets; in the last two the error is 1."""
LABELS = (
    *at("generic", (-2.3, 0.3), (0.4, 0.9), (1.6, 0.5)),
    *at("tail", (30.0, 0.2), (-30.0, 0.2), (300.0, 0.2), (-300.0, 0.9)),
    *at("end", (-0.7, 0.0), (1.6, 1.0), (300.0, 0.0), (300.0, 1.0), (-300.0, 1.0), (-300.0, 0.0), (30.0, 1.0)),
    *at("zero", (0.0, 0.5), (0.0, 0.0), (0.0, 1.0), (-0.0, 1.0)),
)
"""Logits, and labels of [0, 1], with both ends."""
SIGNS = (
    *at("generic", (-2.3, 1.0), (0.4, -1.0), (0.4, 1.0), (1.6, -1.0)),
    *at("tail", (300.0, -1.0), (-300.0, 1.0), (300.0, 1.0)),
    *at("branch", (1.0, 1.0), (-1.0, -1.0)),
    *at("zero", (0.0, 1.0), (-0.0, -1.0)),
)
"""Scores, and labels −1 and 1."""
VECTORS = (
    *at("generic", (numbers(0.3, -1.2), numbers(2.1, 0.4)), (numbers(-0.7, 0.4), numbers(0.6, 1.1))),
    *at("tail", (numbers(1e10, 3e10), numbers(1.0, 2.0)), (numbers(1e-10, 3e-10), numbers(1.0, 2.0)),
        (numbers(1e200, 1e200), numbers(1.0, 2.0)), (numbers(1e-200, 1e-200), numbers(1.0, 2.0))),
    *at("tie", (numbers(1.5, 0.5), numbers(1.5, 0.5)), (numbers(1.5, 0.5), numbers(-3.0, -1.0)),
        (numbers(1.0, 2.0), numbers(2.0, -1.0))),
    *at("length one", (numbers(0.7), numbers(1.3))),
)  # fmt: skip
"""Pairs of vectors; in the ties they are parallel, opposite, at right angles."""
NO_VECTORS = at("zero", (numbers(0.0, 0.0), numbers(1.0, 2.0)), (numbers(1e-4, 2e-4), numbers(1.0, 2.0)))
"""One is shorter than the ε of a norm."""


def huber(error: mpf, delta: mpf) -> mpf:
    size = abs(error)
    return size**2 / 2 if size <= delta else delta * (size - delta / 2)


def log_cosh(error: mpf) -> mpf:
    """log cosh = ½ log(1 + sinh²) near 0, where log cosh itself cancels."""
    size = abs(error)
    return mp.log1p(mp.sinh(size) ** 2) / 2 if size < 1 else size + mp.log1p(mp.exp(-2 * size)) - mp.ln2


def cross_entropy(logit: mpf, label: mpf) -> mpf:
    return label * real.softplus(-logit) + (1 - label) * real.softplus(logit)


def focal(logit: mpf, label: mpf, gamma: mpf) -> mpf:
    missed = label * real.logistic(-logit) + (1 - label) * real.logistic(logit)
    return cross_entropy(logit, label) * mp.power(missed, gamma)


def weighted_focal(logit: mpf, label: mpf) -> mpf:
    return (label / 4 + 3 * (1 - label) / 4) * focal(logit, label, mpf(2))


def sparsemax(logit: mpf, label: int) -> mpf:
    signed = -logit if label else logit
    return mpf(0) if signed <= -1 else (signed if signed >= 1 else (signed + 1) ** 2 / 4)


def cosine(x: np.ndarray, y: np.ndarray, epsilon: str = "0") -> mpf:
    """Squares of norms are at least ε, as they are computed."""
    lengths = [mp.sqrt(max(v @ v, mpf(epsilon))) for v in (x, y)]
    return x @ y / (lengths[0] * lengths[1])


def triplet(a: np.ndarray, p: np.ndarray, n: np.ndarray, degree: int) -> mpf:
    """With distances (Σ |·|^degree + 1e-6)^(1 / degree)."""
    near, far = (mp.root(sum(abs(a - b) ** degree) + mpf("1e-6"), degree) for b in (p, n))
    return max(near - far + 1, mpf(0))


def float_triplet(a: np.ndarray, p: np.ndarray, n: np.ndarray, degree: int) -> float:
    """With distances of NumPy, which the 1e-6 is not added to."""
    near, far = (np.linalg.norm(a - b, degree) for b in (p, n))
    return np.maximum(near - far + 1, 0.0)


def ntxent(x: np.ndarray, labels: np.ndarray, temperature: mpf, epsilon: mpf) -> mpf:
    """The mean over pairs (i, j) of one label of −log e^{s_ij} / (e^{s_ij} + Σ e^{s_ik}), k of other labels."""
    n = len(x)
    size = [mp.sqrt(max(row @ row, epsilon)) for row in x]
    s = [[x[i] @ x[j] / (size[i] * size[j] * temperature) for j in range(n)] for i in range(n)]
    terms = []
    for i in range(n):
        others = [s[i][k] for k in range(n) if labels[k] != labels[i]]
        pairs = [j for j in range(n) if j != i and labels[j] == labels[i]]
        terms += [real.logsumexp([s[i][j], *others]) - s[i][j] for j in pairs]
    return mp.fsum(terms) / len(terms)


def two(name: str, oracle, points, **options) -> Case:
    return case(f"optax.losses.{name}", oracle, points, args="x, y", wrt=(0, 1), **options)


def vectors(name: str, oracle, points, call: str = "", **options) -> Case:
    return two(name, oracle, points, elementwise=False, call=call or None, **options)


TRIPLETS = (
    *at("generic", (numbers(0.3, -1.2), numbers(0.1, -0.4), numbers(0.9, 0.6)),
        (numbers(0.3, -1.2), numbers(0.9, 1.4), numbers(0.1, -0.6))),
    *at("tie", (numbers(0.3, -1.2), numbers(0.3, -1.2), numbers(0.9, -1.0)),
        (numbers(0.3, -1.2), numbers(0.9, 1.4), numbers(0.9, 1.4))),
)  # fmt: skip
EMBEDDINGS = (
    *at("generic", np.array([[0.3, -1.2], [2.1, 0.4], [0.5, 1.1]])),
    *at("tie", np.array([[0.3, -1.2], [0.3, -1.2], [0.5, 1.1]])),
    *at("tail", np.array([[3e5, -1e5], [2e5, 4e5], [5e5, 1e5]]), np.array([[3e-5, -1e-5], [2e-5, 4e-5], [5e-5, 1e-5]])),
)
SMALL_EMBEDDINGS = at("zero", np.array([[0.0, 0.0], [2.1, 0.4], [0.5, 1.1]]))
GROUP = np.array([0, 0, 1])

CASES: tuple[Case, ...] = (
    two("squared_error", lambda x, y: (x - y) ** 2, ERRORS),
    case("optax.losses.squared_error", lambda x: x**2, LINE),
    two("l2_loss", lambda x, y: (x - y) ** 2 / 2, ERRORS),
    two("huber_loss", lambda x, y: huber(x - y, mpf(1)), ERRORS, scipy=lambda x, y: scipy.special.huber(1.0, x - y)),
    two("huber_loss", lambda x, y: huber(x - y, mpf(3) / 2), ERRORS, call="optax.losses.huber_loss(x, y, delta=1.5)"),
    two("huber_loss", huber, (*at("generic", (0.4, 1.3), (2.4, 1.3), (-2.4, 0.5)), *at("tie", (1.5, 1.5))),
        call="optax.losses.huber_loss(x, delta=y)"),
    two("log_cosh", lambda x, y: log_cosh(x - y), ERRORS),
    two("sigmoid_binary_cross_entropy", cross_entropy, LABELS),
    two("sigmoid_focal_loss", lambda x, y: focal(x, y, mpf(2)), LABELS),
    two("sigmoid_focal_loss", lambda x, y: focal(x, y, mpf(1) / 2), LABELS,
        call="optax.losses.sigmoid_focal_loss(x, y, gamma=0.5)"),
    two("sigmoid_focal_loss", weighted_focal, LABELS, call="optax.losses.sigmoid_focal_loss(x, y, alpha=0.25)"),
    two("hinge_loss", lambda x, y: max(mpf(0), 1 - x * y), SIGNS),
    two("perceptron_loss", lambda x, y: max(mpf(0), -x * y), SIGNS),
    case("optax.losses.sparsemax_loss", sparsemax,
         (*at("generic", (-2.3, 0), (0.4, 1), (-0.7, 0), (1.6, 1)), *at("branch", (1.0, 0), (1.0, 1), (-1.0, 0)),
          *at("zero", (0.0, 1)), *at("tail", (300.0, 0), (300.0, 1))), args="x, y"),
    vectors("cosine_similarity", cosine, VECTORS),
    vectors("cosine_similarity", lambda x, y: cosine(x, y, "1e-6"), (*VECTORS, *NO_VECTORS),
            "optax.losses.cosine_similarity(x, y, epsilon=1e-6)"),
    vectors("cosine_similarity", lambda x, y: cosine(x[[0, 2]], y[[0, 2]]),
            at("generic", (numbers(0.3, -1.2, 0.5), numbers(2.1, 0.4, 1.4))),
            "optax.losses.cosine_similarity(x, y, where=jnp.array([True, False, True]))"),
    vectors("cosine_distance", lambda x, y: 1 - cosine(x, y), VECTORS),
    vectors("cosine_distance", lambda x, y: 1 - cosine(x, y, "1e-6"), NO_VECTORS,
            "optax.losses.cosine_distance(x, y, epsilon=1e-6)"),
    *(case("optax.losses.triplet_margin_loss", lambda a, p, n, degree=degree: triplet(a, p, n, degree), TRIPLETS,
           args="a, p, n", wrt=(0, 1, 2), elementwise=False, scipy=partial(float_triplet, degree=degree),
           call=f"optax.losses.triplet_margin_loss(a, p, n, norm_degree={degree})") for degree in (1, 2, 3)),
    case("optax.losses.ntxent", lambda x: ntxent(x, GROUP, mpf("0.07"), mpf(2) ** -52), EMBEDDINGS,
         call="optax.losses.ntxent(x, jnp.array([0, 0, 1]))", elementwise=False, dtypes=("float64",)),
    case("optax.losses.ntxent", lambda x: ntxent(x, GROUP, mpf(1) / 2, mpf(2) ** -52),
         (*EMBEDDINGS, *SMALL_EMBEDDINGS), call="optax.losses.ntxent(x, jnp.array([0, 0, 1]), temperature=0.5)",
         elementwise=False, dtypes=("float64",)),
    case("optax.losses.ntxent", lambda x: ntxent(x, 0 * GROUP, mpf(1) / 2, mpf(2) ** -52), EMBEDDINGS,
         call="optax.losses.ntxent(x, jnp.array([0, 0, 0]), temperature=0.5)", elementwise=False, dtypes=("float64",)),
    case("optax.losses.smooth_labels", lambda x, a: (1 - a) * x + a / len(x),
         at("generic", (numbers(0.0, 1.0, 0.0), 0.1), (numbers(0.2, 0.3, 0.5), 0.7)), args="x, a", wrt=(0, 1),
         elementwise=False),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {"optax.losses.convex_kl_divergence": "the old name of generalized_kl_divergence"}
