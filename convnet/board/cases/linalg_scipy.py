"""`jax.scipy.linalg` and `jax.lax.linalg`."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.linalg
from mpmath import mp, mpf

from convnet.board import linear
from convnet.board.case import Case, at
from convnet.board.cases.linalg_numpy import (
    BOTH,
    DEFICIENT,
    POSITIVE,
    REPEATED,
    SINGULAR,
    SQUARES,
    SYMMETRIC,
    SYSTEMS,
    TALL,
    WIDE,
    cube,
    matrix_case,
)
from convnet.board.vectors import matrix, vector

EXPONENTS = (
    *at("generic", matrix([0.5, -1.25], [1.5, 0.75]), matrix([2.0, 1.0], [0.5, -1.5])),
    *at("zero", matrix([0.0, 0.0], [0.0, 0.0])),
    *at("repeated", matrix([1.0, 1.0], [0.0, 1.0]), matrix([2.0, 0.0], [0.0, 2.0])),
    *at("tail", matrix([-300.0, 1.0], [2.0, -310.0]), matrix([20.0, -15.0], [10.0, 5.0]),
        matrix([1e-9, 2e-9], [0.0, 1e-9]),
        matrix([0.0, 1e10], [0.0, 0.0])),
    *at("branch", matrix([0.0, 0.0], [0.0, 2.0]), matrix([0.5, 0.25], [0.25, 0.75])),
)  # fmt: skip
"""Also with norms at which another approximation begins."""
UPPER = (
    *at("generic", (matrix([2.0, 1.0], [0.5, -1.5]), vector(1.0, -0.5))),
    *at("zero", (matrix([2.0, 1.0], [0.0, -1.5]), vector(0.0, 0.0))),
)
POSITIVE_SYSTEMS = tuple(point for a in POSITIVE[:4] for point in at(a.label, (a.args[0], vector(1.0, -0.5))))
SPECIAL = at("generic", vector(0.5, -1.25, 2.0)) + at("zero", vector(0.5, 0.0, 0.0))
TRIDIAGONAL = at("generic", (vector(2.0, 0.5, -1.0), vector(0.75, -0.5)))
X = "(x + x.T) / 2"


def lu_factors(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return linear.lu(x)[:2]


def packed(x: np.ndarray) -> np.ndarray:
    """Both factors in one array: the diagonal is that of the upper one."""
    low, high, _ = linear.lu(x)
    result = linear.zeros(*x.shape)
    result[:, : low.shape[1]] += linear.lower(low, -1)
    result[: len(high)] += high
    return result


def polar(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a [2, 2]: the nearest rotation, or reflection if the determinant is negative, and the rest."""
    (a, b), (c, d) = x
    if linear.det(x) > 0:
        near = np.array([[a + d, b - c], [c - b, a + d]], object)
    else:
        near = np.array([[a - d, b + c], [b + c, d - a]], object)
    unitary = near / mp.sqrt(near[0, 0] ** 2 + near[0, 1] ** 2)
    return unitary, unitary.T @ x


def lyapunov(a: np.ndarray, b: np.ndarray, q: np.ndarray) -> np.ndarray:
    """x with a x + x b = q."""
    n, m = len(a), len(b)
    system = np.kron(a, linear.eye(m)) + np.kron(linear.eye(n), b.T)
    return linear.solve(system, q.ravel()).reshape(n, m)


def triangle(a: np.ndarray, unit: bool = False) -> np.ndarray:
    """The upper one, with ones on the diagonal if `unit`."""
    return linear.upper(a, 1) + linear.eye(len(a)) if unit else linear.upper(a)


def tridiagonal(d: np.ndarray, e: np.ndarray) -> np.ndarray:
    return np.diag(d) + np.diag(e, 1) + np.diag(e, -1)


def toeplitz(c: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.array([[c[i - j] if i >= j else r[j - i] for j in range(len(r))] for i in range(len(c))], object)


def hankel(c: np.ndarray) -> np.ndarray:
    n = len(c)
    return np.array([[c[i + j] if i + j < n else mpf(0) for j in range(n)] for i in range(n)], object)


def companion(a: np.ndarray) -> np.ndarray:
    return np.array([[-a[1] / a[0], -a[2] / a[0]], [mpf(1), mpf(0)]], object)


def fiedler_companion(a: np.ndarray) -> np.ndarray:
    return np.array([[-a[1] / a[0], -a[2] / a[0]], [mpf(1), mpf(0)]], object)


def fiedler(a: np.ndarray) -> np.ndarray:
    return abs(a[:, None] - a[None])


def convolution_matrix(a: np.ndarray) -> np.ndarray:
    """[4, 2]: its product with a vector of two is the whole convolution."""
    return np.array([[a[i - j] if 0 <= i - j < len(a) else mpf(0) for j in range(2)] for i in range(4)], object)


def leslie(f: np.ndarray, s: np.ndarray) -> np.ndarray:
    return np.array([[*f], [s[0], mpf(0), mpf(0)], [mpf(0), s[1], mpf(0)]], object)


def block_diag(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    result = linear.zeros(4, 5)
    result[:2, :2], result[2:, 2:] = a, b
    return result


def householder(a: np.ndarray, taus: np.ndarray) -> np.ndarray:
    """The first columns of the product of 1 − τ v vᵀ, where v has 1 at its own place and the column of a below."""
    q = linear.eye(len(a))
    for i, tau in enumerate(taus):
        v = np.array([mpf(0)] * i + [mpf(1)] + list(a[i + 1 :, i]), object)
        q = q @ (linear.eye(len(a)) - tau * v[:, None] * v[None])
    return q[:, : len(taus)]


def three_diagonals(dl: np.ndarray, d: np.ndarray, du: np.ndarray, b: np.ndarray) -> np.ndarray:
    return linear.solve(np.diag(dl[1:], -1) + np.diag(d) + np.diag(du[:-1], 1), b[:, None])


MATRICES = at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), matrix([2.0, -0.5, 1.0], [0.25, 1.0, 3.0])))
SYLVESTER = at("generic", (matrix([2.0, 1.0], [0.5, 1.5]), matrix([1.0, -0.5], [0.25, 3.0]),
                           matrix([1.0, 2.0], [-1.0, 0.5])))  # fmt: skip
FRECHET = tuple(point for a in EXPONENTS[1:4] for point in at(a.label, (a.args[0], matrix([0.5, 1.0], [-1.0, 0.25]))))
PIVOTED = SQUARES[:2] + SQUARES[3:4] + SINGULAR[:1] + at("tie", matrix([1.0, 2.0], [-1.0, 0.5]))

CASES: tuple[Case, ...] = (
    matrix_case("jax.scipy.linalg.cholesky", lambda x: linear.cholesky(linear.symmetric(x)).T, POSITIVE,
                call=f"jax.scipy.linalg.cholesky({X})", scipy=lambda x: scipy.linalg.cholesky((x + x.T) / 2)),
    matrix_case("jax.scipy.linalg.cho_factor", lambda x: linear.cholesky(linear.symmetric(x)).T, POSITIVE[:3],
                call=f"jnp.triu(jax.scipy.linalg.cho_factor({X})[0])"),
    matrix_case("jax.scipy.linalg.cho_solve", lambda a, b: linear.solve(linear.lower(a) @ linear.lower(a).T, b), UPPER,
                call="jax.scipy.linalg.cho_solve((a, True), b)", **BOTH),
    matrix_case("jax.scipy.linalg.det", linear.det, SQUARES + SINGULAR, scipy=scipy.linalg.det),
    matrix_case("jax.scipy.linalg.inv", linear.inverse, SQUARES, scipy=scipy.linalg.inv),
    matrix_case("jax.scipy.linalg.solve", linear.solve, SYSTEMS, **BOTH, scipy=scipy.linalg.solve),
    matrix_case("jax.scipy.linalg.solve", lambda a, b: linear.solve(linear.symmetric(a), b), POSITIVE_SYSTEMS,
                call="jax.scipy.linalg.solve((a + a.T) / 2, b, assume_a='pos')", **BOTH),
    matrix_case("jax.scipy.linalg.solve_triangular", lambda a, b: linear.solve(triangle(a), b), UPPER, **BOTH,
                scipy=scipy.linalg.solve_triangular),
    matrix_case("jax.scipy.linalg.solve_triangular", lambda a, b: linear.solve(linear.lower(a).T, b), UPPER, **BOTH,
                call="jax.scipy.linalg.solve_triangular(a, b, lower=True, trans=1)"),
    matrix_case("jax.scipy.linalg.solve_triangular", lambda a, b: linear.solve(triangle(a, unit=True), b),
                UPPER + at("zero", (matrix([0.0, 1.0], [3.0, 0.0]), vector(1.0, -0.5))), **BOTH,
                call="jax.scipy.linalg.solve_triangular(a, b, unit_diagonal=True)"),
    matrix_case("jax.scipy.linalg.lu", lu_factors, PIVOTED, call="jax.scipy.linalg.lu(x)[1:]"),
    matrix_case("jax.scipy.linalg.lu", lu_factors, TALL[:1] + WIDE[:1],
                call="tuple(jax.scipy.linalg.lu(x)[1:])"),
    matrix_case("jax.scipy.linalg.lu_factor", packed, PIVOTED, call="jax.scipy.linalg.lu_factor(x)[0]"),
    matrix_case("jax.scipy.linalg.lu_solve", linear.solve, SYSTEMS[:4], **BOTH,
                call="jax.scipy.linalg.lu_solve(jax.scipy.linalg.lu_factor(a), b)"),
    matrix_case("jax.scipy.linalg.qr", lambda x: x.T @ x, TALL + DEFICIENT + SQUARES[:3],
                call="(lambda r: r.T @ r)(jax.scipy.linalg.qr(x, mode='r')[0])"),
    matrix_case("jax.scipy.linalg.qr", lambda x: tuple(map(abs, linear.qr(x))), TALL[:1] + SQUARES[:2],
                call="tuple(map(jnp.abs, jax.scipy.linalg.qr(x, mode='economic')))"),
    matrix_case("jax.scipy.linalg.qr_multiply", lambda a, b: abs(linear.qr(a)[0].T @ b), SYSTEMS[:2], **BOTH,
                call="jnp.abs(jax.scipy.linalg.qr_multiply(a, b)[0])"),
    matrix_case("jax.scipy.linalg.svd", cube, SQUARES[:4] + SINGULAR + TALL + WIDE,
                call="(lambda r: (r[0] * r[1]**3) @ r[2])(jax.scipy.linalg.svd(x, full_matrices=False))"),
    matrix_case("jax.scipy.linalg.eigh", lambda x: linear.symmetric(x) @ linear.symmetric(x), SYMMETRIC + REPEATED,
                call=f"(lambda r: (r[1] * r[0]**2) @ r[1].T)(jax.scipy.linalg.eigh({X}))"),
    matrix_case("jax.scipy.linalg.eigh_tridiagonal", lambda d, e: linear.eigh(tridiagonal(d, e))[0], TRIDIAGONAL,
                call="jax.scipy.linalg.eigh_tridiagonal(d, e, eigvals_only=True)", args="d, e", wrt=(0, 1)),
    matrix_case("jax.scipy.linalg.expm", linear.expm_2x2, EXPONENTS, scipy=scipy.linalg.expm),
    matrix_case("jax.scipy.linalg.expm", lambda x: linear.expm_2x2(linear.upper(x)), EXPONENTS[:4],
                call="jax.scipy.linalg.expm(jnp.triu(x), upper_triangular=True)"),
    matrix_case("jax.scipy.linalg.expm_frechet", lambda a, e: linear.expm_2x2(a, e), FRECHET,
                call="jax.scipy.linalg.expm_frechet(a, e, compute_expm=False)", args="a, e", wrt=(0, 1),
                dtypes=("float64",),
                scipy=partial(scipy.linalg.expm_frechet, compute_expm=False)),
    matrix_case("jax.scipy.linalg.sqrtm", linear.sqrtm_2x2, POSITIVE[:2], call="jax.scipy.linalg.sqrtm(x).real"),
    matrix_case("jax.scipy.linalg.funm", linear.expm_2x2, EXPONENTS[:1],
                call="jax.scipy.linalg.funm(x, jnp.exp, disp=False)[0].real"),
    matrix_case("jax.scipy.linalg.schur", lambda x: x, SQUARES[:2],
                call="(lambda r: r[1] @ r[0] @ r[1].T)(jax.scipy.linalg.schur(x))"),
    matrix_case("jax.scipy.linalg.rsf2csf", lambda x: x, SQUARES[:2],
                call="(lambda r: (r[1] @ r[0] @ r[1].conj().T).real)(jax.scipy.linalg.rsf2csf(x, jnp.eye(2)))"),
    matrix_case("jax.scipy.linalg.hessenberg", lambda x: (x**2).sum(), SQUARES[:2],
                call="(jax.scipy.linalg.hessenberg(x)**2).sum()"),
    matrix_case("jax.scipy.linalg.polar", polar, SQUARES[:4], call="jax.scipy.linalg.polar(x)",
                scipy=scipy.linalg.polar),
    matrix_case("jax.scipy.linalg.polar", polar, SQUARES[:4], call="jax.scipy.linalg.polar(x, method='svd')",
                scipy=scipy.linalg.polar),
    matrix_case("jax.scipy.linalg.solve_sylvester", lyapunov, SYLVESTER, args="a, b, q", wrt=(0, 1, 2)),
    matrix_case("jax.scipy.linalg.block_diag", block_diag, MATRICES, **BOTH),
    matrix_case("jax.scipy.linalg.toeplitz", lambda c: toeplitz(c, c), SPECIAL),
    matrix_case("jax.scipy.linalg.toeplitz", toeplitz, at("generic", (vector(0.5, -1.25), vector(7.0, 2.0, 1.5))),
                args="c, r", wrt=(0, 1)),
    matrix_case("jax.scipy.linalg.circulant", lambda c: toeplitz(c, np.array([c[0], *c[:0:-1]])), SPECIAL),
    matrix_case("jax.scipy.linalg.hankel", hankel, SPECIAL),
    matrix_case("jax.scipy.linalg.companion", companion, SPECIAL),
    matrix_case("jax.scipy.linalg.fiedler_companion", fiedler_companion, SPECIAL),
    matrix_case("jax.scipy.linalg.fiedler", fiedler, SPECIAL),
    matrix_case("jax.scipy.linalg.convolution_matrix", convolution_matrix, SPECIAL,
                call="jax.scipy.linalg.convolution_matrix(x, 2)"),
    matrix_case("jax.scipy.linalg.leslie", leslie, at("generic", (vector(0.5, 1.25, 2.0), vector(0.5, 0.25))),
                args="f, s", wrt=(0, 1)),
    matrix_case("jax.lax.linalg.cholesky", lambda x: linear.cholesky(linear.symmetric(x)), POSITIVE),
    matrix_case("jax.lax.linalg.cholesky_update",
                lambda r, w: linear.cholesky(linear.upper(r).T @ linear.upper(r) + w[:, None] * w[None]).T,
                at("generic", (matrix([2.0, 0.5], [0.0, 1.5]), vector(1.0, -0.5))), args="r, w", wrt=(0, 1)),
    matrix_case("jax.lax.linalg.eigh", lambda x: linear.symmetric(x) @ linear.symmetric(x), SYMMETRIC + REPEATED,
                call="(lambda v, w: (v * w**2) @ v.T)(*jax.lax.linalg.eigh(x))"),
    matrix_case("jax.lax.linalg.eig", lambda x: (x @ x).trace(), SQUARES[:2],
                call="(jax.lax.linalg.eig(x, compute_left_eigenvectors=False, "
                "enable_eigvec_derivs=True)[0]**2).sum().real"),
    matrix_case("jax.lax.linalg.eig", lambda x: x @ x, SQUARES[:4],
                call="(lambda w, v: ((v * w**2) @ jnp.linalg.inv(v)).real)(*jax.lax.linalg.eig(x, "
                "compute_left_eigenvectors=False, enable_eigvec_derivs=True))"),
    matrix_case("jax.lax.linalg.svd", cube, SQUARES[:4] + SINGULAR + TALL + WIDE,
                call="(lambda u, s, vt: (u * s**3) @ vt)(*jax.lax.linalg.svd(x, full_matrices=False))"),
    matrix_case("jax.lax.linalg.lu", packed, PIVOTED + TALL[:1] + WIDE[:1], call="jax.lax.linalg.lu(x)[0]"),
    matrix_case("jax.lax.linalg.qr", lambda x: x.T @ x, TALL + DEFICIENT + SQUARES[:3] + WIDE,
                call="(lambda q, r: r.T @ r)(*jax.lax.linalg.qr(x, full_matrices=False))"),
    matrix_case("jax.lax.linalg.qdwh", lambda x: polar(x)[0], SQUARES[:2], call="jax.lax.linalg.qdwh(x)[0]"),
    matrix_case("jax.lax.linalg.schur", lambda x: x, SQUARES[:2],
                call="(lambda t, q: q @ t @ q.T)(*jax.lax.linalg.schur(x))"),
    matrix_case("jax.lax.linalg.hessenberg", lambda x: (x**2).sum(), SQUARES[:2],
                call="(jnp.triu(jax.lax.linalg.hessenberg(x)[0], -1)**2).sum()"),
    matrix_case("jax.lax.linalg.tridiagonal", lambda x: linear.symmetric(x).trace(), SYMMETRIC[:2],
                call=f"jax.lax.linalg.tridiagonal({X})[1].sum()"),
    matrix_case("jax.lax.linalg.householder_product", householder,
                at("generic", (matrix([0.5, -1.25], [1.5, 0.75], [2.0, -0.25]), vector(0.5, 1.25))), args="a, taus",
                wrt=(0, 1)),
    matrix_case("jax.lax.linalg.ormqr", lambda a, taus, c: householder(a, taus) @ c,
                at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), vector(0.5, 1.25), matrix([1.0, 2.0], [-0.5, 0.25]))),
                args="a, taus, c", wrt=(0, 1, 2)),
    matrix_case("jax.lax.linalg.symmetric_product", lambda a, c: a @ a.T + linear.symmetric(c) / 2,
                at("generic", (matrix([0.5, -1.25], [1.5, 0.75]), matrix([1.0, 2.0], [2.0, 0.25]))),
                call="jax.lax.linalg.symmetric_product(a, (c + c.T) / 2, beta=0.5, symmetrize_output=True)",
                args="a, c",
                wrt=(0, 1)),
    matrix_case("jax.lax.linalg.triangular_solve", lambda a, b: linear.solve(linear.upper(a).T, b.T).T,
                at("generic", (matrix([2.0, 1.0], [0.5, -1.5]), matrix([1.0, -0.5])),
                   (matrix([0.5, -1.25], [1.5, 0.75]), matrix([1.0, -0.5]))), **BOTH),
    matrix_case("jax.lax.linalg.tridiagonal_solve", three_diagonals,
                at("generic", (vector(0.0, 0.5, -1.0), vector(2.0, 3.0, -2.5), vector(0.75, -0.5, 0.0),
                               vector(1.0, 2.0, -1.0))),
                call="jax.lax.linalg.tridiagonal_solve(dl, d, du, b[:, None])", args="dl, d, du, b", wrt=(0, 1, 2, 3)),
)  # fmt: skip

NOT_COVERED = {
    "jax.scipy.linalg.dft": "makes an array of a length",
    "jax.scipy.linalg.hadamard": "makes an array of a length",
    "jax.scipy.linalg.helmert": "makes an array of a length",
    "jax.scipy.linalg.hilbert": "makes an array of a length",
    "jax.scipy.linalg.invhilbert": "makes an array of a length",
    "jax.scipy.linalg.invpascal": "makes an array of a length",
    "jax.scipy.linalg.pascal": "makes an array of a length",
    "jax.lax.linalg.lu_pivots_to_permutation": "indices",
}
"""Functions without a gradient that anybody could want, and why."""
