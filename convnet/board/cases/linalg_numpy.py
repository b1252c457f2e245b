"""`jax.numpy.linalg`.

Eigenvectors and singular vectors are not unique: a call forms what is, such as v f(w) vᵀ, which has a derivative at
repeated values too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
from mpmath import mp, mpf

from convnet.board import linear
from convnet.board.case import Case, at, case
from convnet.board.cases.numpy_arrays import TIMES_VECTOR, cross
from convnet.board.vectors import MATRIX, PAIRS, matrix, vector

SQUARES = (
    *at("generic", matrix([2.0, 1.0], [0.5, -1.75]), matrix([0.5, -1.25], [1.75, 0.75])),
    *at("repeated", matrix([1.0, 0.0], [0.0, 1.0]), matrix([0.0, -2.0], [2.0, 0.0])),
    *at("tail", matrix([2e-60, 1e-60], [0.5e-60, -1.75e-60]), matrix([1.0, 1.0], [1.0, 1.0 + 2.0**-20])),
)
"""Invertible [2, 2]."""
SINGULAR = (
    *at("branch", matrix([1.0, 2.0], [2.0, 4.0]), matrix([0.0, 1.0], [0.0, 2.0]), matrix([1.0, 1.0], [0.0, 0.0])),
    *at("zero", matrix([0.0, 0.0], [0.0, 0.0])),
)
FOUR = (
    *at("generic", matrix([2.0, 1.0, 0.5, -1.0], [0.5, -1.5, 1.0, 2.0], [1.0, 0.25, 3.0, -0.5], [-1.0, 2.0, 0.5, 1.5])),
    *at("branch", matrix([0.0, 1.0, 0.5, -1.0], [0.0, -1.5, 1.0, 2.0], [0.0, 0.25, 3.0, -0.5], [0.0, 2.0, 0.5, 1.5]),
        matrix([1.0, 2.0, 0.5, -1.0], [2.0, 4.0, 1.0, 2.0], [4.0, 8.0, 3.0, -0.5], [-1.0, -2.0, 0.5, 1.5]),
        matrix([1.0, 2.0, 0.5, 0.0], [2.0, 1.0, 1.0, 0.0], [4.0, 0.5, 3.0, 0.0], [-1.0, 2.0, 0.5, 0.0])),
    *at("branch", matrix([1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0])),
    *at("zero", np.zeros((4, 4))),
)  # fmt: skip
"""[4, 4]: invertible; of rank 3, with the vanishing pivot at the front, in the middle and at the end; of rank 2."""
SYMMETRIC = (
    *at("generic", matrix([2.0, 0.5], [0.5, -1.0]), matrix([2.0, 0.75], [0.25, 3.0])),
    *at("repeated", matrix([2.0, 0.0], [0.0, 2.0])),
    *at("zero", matrix([0.0, 0.0], [0.0, 0.0])),
    *at("tail", matrix([1.0, 2.0**-30], [2.0**-30, 1.0]), matrix([1e-100, 0.5e-100], [0.5e-100, 3e-100])),
)
REPEATED = at("repeated", matrix([2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -1.0]))
POSITIVE = (
    *at("generic", matrix([2.0, 0.5], [0.5, 1.0]), matrix([3.0, -1.0], [-1.0, 2.0])),
    *at("repeated", matrix([1.0, 0.0], [0.0, 1.0])),
    *at("tail", matrix([1e-60, 0.5e-60], [0.5e-60, 2e-60]), matrix([1.0, 1.0], [1.0, 1.0 + 2.0**-20])),
    *at("end", matrix([1.0, 1.0], [1.0, 1.0])),
)
TALL = (
    *at("generic", matrix([0.5, -1.25], [1.5, 0.75], [1.0, -0.25])),
    *at("repeated", matrix([1.0, 0.0], [0.0, 1.0], [0.0, 0.0]), matrix([1.0, -1.0], [1.0, 1.0], [0.0, 0.0])),
)
DEFICIENT = at("branch", matrix([1.0, 2.0], [2.0, 4.0], [0.5, 1.0]), matrix([1.0, 0.0], [2.0, 0.0], [0.5, 0.0]))
WIDE = (
    *at("generic", matrix([0.5, -1.25, 2.0], [1.5, 0.75, -0.25])),
    *at("repeated", matrix([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])),
)
SYSTEMS = tuple(point for a in (*SQUARES[:5], *SINGULAR[:1]) for point in at(a.label, (a.args[0], vector(1.0, -0.5))))
FITS = (
    *at("generic", (matrix([0.5, -1.25], [1.5, 0.75], [1.0, -0.25]), vector(1.0, -0.5, 2.0))),
    *at("repeated", (matrix([1.0, 0.0], [0.0, 1.0], [0.0, 0.0]), vector(1.0, -0.5, 2.0)),
        (matrix([1.0, -1.0], [1.0, 1.0], [0.0, 0.0]), vector(1.0, -0.5, 2.0))),
    *at("branch", (matrix([1.0, 0.0], [1.0, 1.0], [1.0, 2.0]), vector(1.0, 3.0, 5.0))),
    *at("zero", (matrix([0.5, -1.25], [1.5, 0.75], [1.0, -0.25]), vector(0.0, 0.0, 0.0))),
)  # fmt: skip
"""Of three equations in two unknowns; at the branch all hold."""
NORMED = (
    *at("generic", vector(0.5, -1.25, 2.0)),
    *at("tie", vector(1.0, -1.0, 1.0)),
    *at("zero", vector(0.0, 1.5, -2.0), vector(0.0, 0.0, 0.0), vector(0.0, 0.0, -2.0)),
    *at("tail", vector(300.0, 1e-3, 1.0)),
    *at("length one", vector(-0.75), vector(0.0)),
)
FAR = at("tail", vector(3e-170, -4e-170, 1e-170), vector(3e170, -4e170, 1e170))
"""The squares of which no float holds."""
BOTH = {"args": "a, b", "wrt": (0, 1)}


def matrix_case(function: str, oracle: Callable[..., Any], points: tuple, **options: Any) -> Case:
    return case(function, oracle, points, **{"elementwise": False, "dtypes": ("float64", "float32")} | options)


def log_det(x: np.ndarray):
    return mp.log(abs(linear.det(x)))


def p_norm(x: np.ndarray, p):
    """Infinite and of either sign too; p below 0 takes an entry that is 0 to norm 0."""
    sizes = abs(x)
    if mp.isinf(p):
        return max(sizes) if p > 0 else min(sizes)
    if p < 0 and any(size == 0 for size in sizes):
        return mpf(0)
    return sum((size**p for size in sizes), start=mpf(0)) ** (1 / mpf(p))


def euclidean(x: np.ndarray) -> np.ndarray:
    """SciPy's, which scales before it squares."""
    return np.asarray(scipy.linalg.norm(x))


def two_singular_values(x: np.ndarray) -> tuple:
    """Of a matrix with two rows or two columns: s₁ ± s₂ are √(‖x‖² ± 2 s₁ s₂)."""
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    size, both = gram[0, 0] + gram[1, 1], abs(linear.det(x)) if x.shape == (2, 2) else mp.sqrt(linear.det(gram))
    total, apart = mp.sqrt(size + 2 * both), mp.sqrt(abs(size - 2 * both))
    return (total + apart) / 2, (total - apart) / 2


def nuclear(x: np.ndarray):
    return sum(two_singular_values(x))


def matrix_norm(x: np.ndarray, order: Any):
    """Sums of sizes, of columns (1) or of rows (inf): the largest or, of a negative order, the smallest."""
    sums = abs(x).sum(axis=0 if abs(order) == 1 else 1)
    return max(sums) if order > 0 else min(sums)


def condition(x: np.ndarray, norm: Callable[[np.ndarray], Any]):
    return norm(x) * norm(linear.inverse(x))


def cube(x: np.ndarray) -> np.ndarray:
    """u s³ vᵀ."""
    return x @ x.T @ x


def fit(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return linear.solve(a.T @ a, a.T @ b)


def residual(a: np.ndarray, b: np.ndarray):
    return ((b - a @ fit(a, b)) ** 2).sum()


def projectors(x: np.ndarray) -> np.ndarray:
    return linear.eigh(linear.symmetric(x))[1] ** 2


def vector_norm(order: str, p, points=NORMED) -> Case:
    return matrix_case("jax.numpy.linalg.norm", lambda x: p_norm(x, p), points, call=f"jnp.linalg.norm(x, {order})")


INFINITY = mpf("inf")
SINGULAR_CUBED = "(lambda r: (r[0] * r[1]**3) @ r[2])(jnp.linalg.svd(x, full_matrices=False))"
SPECTRAL = SQUARES + SINGULAR
CASES: tuple[Case, ...] = (
    matrix_case("jax.numpy.linalg.det", linear.det, SQUARES + SINGULAR, scipy=np.linalg.det),
    matrix_case("jax.numpy.linalg.det", linear.det,
                (*at("generic", matrix([2.0, 1.0, 0.5], [0.5, -1.5, 1.0], [1.0, 0.25, 3.0])),
                 *at("zero", np.zeros((3, 3)))), call="jnp.linalg.det(x[:3, :3])"),
    matrix_case("jax.numpy.linalg.det", linear.det, FOUR, call="jnp.linalg.det(x[:4, :4])", scipy=np.linalg.det),
    matrix_case("jax.numpy.linalg.slogdet", log_det,
                (*SQUARES, *SINGULAR, *at("tail", matrix([2e200, 1e200], [0.5e200, -1.5e200]))),
                call="jnp.linalg.slogdet(x).logabsdet", scipy=lambda x: np.linalg.slogdet(x)[1]),
    matrix_case("jax.numpy.linalg.slogdet", log_det, FOUR[:2],
                call="jnp.linalg.slogdet(x[:4, :4]).logabsdet", scipy=lambda x: np.linalg.slogdet(x)[1]),
    matrix_case("jax.numpy.linalg.inv", linear.inverse, SQUARES + SINGULAR[:1], scipy=np.linalg.inv),
    matrix_case("jax.numpy.linalg.solve", linear.solve, SYSTEMS, **BOTH, scipy=np.linalg.solve),
    matrix_case("jax.numpy.linalg.cholesky", lambda x: linear.cholesky(linear.symmetric(x)), POSITIVE,
                scipy=lambda x: np.linalg.cholesky((x + x.T) / 2)),
    matrix_case("jax.numpy.linalg.eigh", lambda x: linear.symmetric(x) @ linear.symmetric(x), SYMMETRIC + REPEATED,
                call="(lambda r: (r[1] * r[0]**2) @ r[1].T)(jnp.linalg.eigh(x))"),
    matrix_case("jax.numpy.linalg.eigh", projectors, SYMMETRIC[:2], call="jnp.linalg.eigh(x).eigenvectors**2"),
    matrix_case("jax.numpy.linalg.eigvalsh", lambda x: linear.eigh(linear.symmetric(x))[0], SYMMETRIC,
                scipy=lambda x: np.linalg.eigvalsh((x + x.T) / 2)),
    matrix_case("jax.numpy.linalg.eigvalsh", lambda x: (linear.symmetric(x) ** 2).sum(), SYMMETRIC + REPEATED,
                call="(jnp.linalg.eigvalsh(x)**2).sum()"),
    matrix_case("jax.numpy.linalg.eigvals", lambda x: (x @ x).trace(),
                SQUARES[:4] + at("repeated", matrix([1.0, 1.0], [0.0, 1.0])),
                call="(jnp.linalg.eigvals(x)**2).sum().real"),
    matrix_case("jax.numpy.linalg.eig", lambda x: (x @ x).trace(), SQUARES[:2],
                call="(jnp.linalg.eig(x).eigenvalues**2).sum().real"),
    matrix_case("jax.numpy.linalg.svd", cube, SPECTRAL + TALL + DEFICIENT + WIDE, call=SINGULAR_CUBED),
    matrix_case("jax.numpy.linalg.svdvals", lambda x: np.array(two_singular_values(x)), SPECTRAL,
                scipy=np.linalg.svdvals),
    matrix_case("jax.numpy.linalg.svdvals", lambda x: (x**2).sum(), SPECTRAL, call="(jnp.linalg.svdvals(x)**2).sum()"),
    matrix_case("jax.numpy.linalg.pinv", linear.pinv, SQUARES + TALL + WIDE +
                at("branch", matrix([1.0, 2.0], [2.0, 4.0])),
                scipy=np.linalg.pinv),
    matrix_case("jax.numpy.linalg.pinv", lambda x: linear.inverse(linear.symmetric(x)), SYMMETRIC[:3],
                call="jnp.linalg.pinv(x, hermitian=True)"),
    matrix_case("jax.numpy.linalg.lstsq", fit, FITS, call="jnp.linalg.lstsq(a, b)[0]", **BOTH),
    matrix_case("jax.numpy.linalg.lstsq", residual, FITS, call="jnp.linalg.lstsq(a, b)[1]", **BOTH),
    matrix_case("jax.numpy.linalg.lstsq", linear.solve, SYSTEMS[:4], call="jnp.linalg.lstsq(a, b)[0].ravel()", **BOTH),
    matrix_case("jax.numpy.linalg.norm", linear.norm, NORMED + FAR, scipy=euclidean), vector_norm("1", 1),
                vector_norm("3", 3), vector_norm("0.5", mpf(1) / 2),
    vector_norm("-1", -1), vector_norm("np.inf", INFINITY), vector_norm("-np.inf", -INFINITY),
    matrix_case("jax.numpy.linalg.vector_norm", linear.norm, NORMED + FAR + MATRIX, scipy=euclidean),
    matrix_case("jax.numpy.linalg.norm", linear.norm, MATRIX, call="jnp.linalg.norm(x, 'fro')"),
    matrix_case("jax.numpy.linalg.norm", nuclear, SPECTRAL, call="jnp.linalg.norm(x, 'nuc')",
                scipy=partial(np.linalg.norm, ord="nuc")),
    matrix_case("jax.numpy.linalg.norm", nuclear, TALL + WIDE, call="jnp.linalg.norm(x, ord='nuc')"),
    matrix_case("jax.numpy.linalg.norm", lambda x: two_singular_values(x)[0], SPECTRAL, call="jnp.linalg.norm(x, 2)"),
    matrix_case("jax.numpy.linalg.norm", lambda x: two_singular_values(x)[1], SPECTRAL, call="jnp.linalg.norm(x, -2)"),
    matrix_case("jax.numpy.linalg.matrix_norm", linear.norm, MATRIX),
    *(matrix_case("jax.numpy.linalg.matrix_norm", partial(matrix_norm, order=order),
                  MATRIX + at("tie", matrix([1.0, -1.0], [1.0, 1.0])), call=f"jnp.linalg.matrix_norm(x, ord={name})")
      for name, order in (("1", 1), ("-1", -1), ("np.inf", INFINITY), ("-np.inf", -INFINITY))),
    matrix_case("jax.numpy.linalg.cond", lambda x: two_singular_values(x)[0] / two_singular_values(x)[1], SPECTRAL,
                scipy=np.linalg.cond),
    matrix_case("jax.numpy.linalg.cond", partial(condition, norm=linear.norm), SPECTRAL,
                call="jnp.linalg.cond(x, 'fro')", scipy=partial(np.linalg.cond, p="fro")),
    matrix_case("jax.numpy.linalg.cond", partial(condition, norm=partial(matrix_norm, order=1)), SQUARES,
                call="jnp.linalg.cond(x, 1)", scipy=partial(np.linalg.cond, p=1)),
    *(matrix_case("jax.numpy.linalg.matrix_power", partial(linear.power, n=n),
                  SQUARES[:4] + (SINGULAR if n >= 0 else ()),
                  call=f"jnp.linalg.matrix_power(x, {n})") for n in (-3, 0, 1, 2, 5)),
    matrix_case("jax.numpy.linalg.qr", lambda x: x.T @ x, (*TALL, *DEFICIENT, *SQUARES[:2], *WIDE),
                call="(lambda r: r.T @ r)(jnp.linalg.qr(x, mode='r'))"),
    matrix_case("jax.numpy.linalg.qr", lambda x: tuple(map(abs, linear.qr(x))), (TALL[0], *SQUARES[:2], WIDE[0]),
                call="tuple(map(jnp.abs, jnp.linalg.qr(x)))"),
    matrix_case("jax.numpy.linalg.qr", lambda x: abs(linear.qr(x)[1]), (SQUARES[0], WIDE[0]),
                call="jnp.abs(jnp.linalg.qr(x, mode='complete').R)"),
    matrix_case("jax.numpy.linalg.multi_dot", lambda a, b: b @ a @ a.T @ b, at(
                "generic", (matrix([0.5, -1.25], [1.5, 0.75]), vector(2.0, -0.5))),
                call="jnp.linalg.multi_dot([b, a, a.T, b])", **BOTH),
    matrix_case("jax.numpy.linalg.tensorinv", linear.inverse, SQUARES[:2], call="jnp.linalg.tensorinv(x, ind=1)"),
    matrix_case("jax.numpy.linalg.tensorsolve", linear.solve, SYSTEMS[:2], **BOTH),
    matrix_case("jax.numpy.linalg.cross", cross, PAIRS, **BOTH),
    matrix_case("jax.numpy.linalg.outer", lambda x, y: x[:, None] * y[None], PAIRS, **BOTH),
    matrix_case("jax.numpy.linalg.vecdot", lambda x, y: (x * y).sum(), PAIRS, **BOTH),
    matrix_case("jax.numpy.linalg.tensordot", lambda x, y: (x * y).sum(), PAIRS, **BOTH,
                call="jnp.linalg.tensordot(a, b, axes=1)"),
    matrix_case("jax.numpy.linalg.matmul", lambda x, y: x @ y, TIMES_VECTOR, **BOTH),
    matrix_case("jax.numpy.linalg.matrix_transpose", lambda x: x.T, MATRIX),
    matrix_case("jax.numpy.linalg.diagonal", lambda x: x.diagonal(), MATRIX),
    matrix_case("jax.numpy.linalg.trace", lambda x: x[0, 0] + x[1, 1], MATRIX),
)  # fmt: skip

NOT_COVERED = {"jax.numpy.linalg.matrix_rank": "counts"}
"""Functions without a gradient that anybody could want, and why."""
