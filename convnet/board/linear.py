"""Linear algebra of small matrices (NumPy arrays of mpmath numbers), for oracles.

Every function here is what its name says on all matrices for which that exists, singular ones and repeated values
included, and raises ZeroDivisionError or ValueError elsewhere. `mpmath` has some of these, for its own matrices, and
stops at repeated values; here a matrix has two or three rows, and the shortest way is the clearest.
"""

from __future__ import annotations

import itertools

import numpy as np
from mpmath import mp, mpf

from convnet.board import exact


def eye(n: int) -> np.ndarray:
    return exact.array(np.eye(n))


def zeros(*shape: int) -> np.ndarray:
    return exact.array(np.zeros(shape))


def symmetric(a: np.ndarray) -> np.ndarray:
    return (a + a.T) / 2


def lower(a: np.ndarray, k: int = 0) -> np.ndarray:
    """The entries on the diagonal k and below it; zeros above. A product with 0 would keep an infinity."""
    return np.array([[a[i, j] if j - i <= k else mpf(0) for j in range(a.shape[1])] for i in range(a.shape[0])], object)


def upper(a: np.ndarray, k: int = 0) -> np.ndarray:
    return lower(a.T, -k).T


def det(a: np.ndarray):
    """By cofactors of the first row: a polynomial, so that singular matrices are like others."""
    if len(a) == 0:
        return mpf(1)
    every = list(range(len(a)))
    minors = ((j, a[1:, every[:j] + every[j + 1 :]]) for j in every if a[0, j] != 0)
    return sum(((-1) ** j * a[0, j] * det(minor) for j, minor in minors), start=mpf(0))


def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x with a x = b, for b of shape [n] or [n, k]; ZeroDivisionError where a is singular."""
    columns = b.reshape(len(b), -1)
    work, n = np.concatenate([a, columns], axis=1).astype(object), len(a)
    for i in range(n):
        pivot = max(range(i, n), key=lambda row: abs(work[row, i]))
        work[[i, pivot]] = work[[pivot, i]]
        work[i] = work[i] / work[i, i]
        for row in range(n):
            if row != i:
                work[row] = work[row] - work[row, i] * work[i]
    return work[:, n:].reshape(b.shape)


def inverse(a: np.ndarray) -> np.ndarray:
    return solve(a, eye(len(a)))


def power(a: np.ndarray, n: int) -> np.ndarray:
    base, result = (a if n >= 0 else inverse(a)), eye(len(a))
    for _ in range(abs(n)):
        result = result @ base
    return result


def cholesky(a: np.ndarray) -> np.ndarray:
    """The lower factor, from the lower triangle."""
    factor = zeros(*a.shape)
    for i in range(len(a)):
        for j in range(i + 1):
            rest = a[i, j] - sum((factor[i, k] * factor[j, k] for k in range(j)), start=mpf(0))
            if i == j and rest < 0:
                raise ValueError("not positive definite")
            factor[i, j] = mp.sqrt(rest) if i == j else rest / factor[j, j]
    return factor


def lu(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Unit lower [m, k] and upper [k, n] factors of a[order], by partial pivoting: of equal pivots the first."""
    work, (m, n) = a.copy(), a.shape
    order, k = list(range(m)), min(m, n)
    for i in range(k):
        pivot = max(range(i, m), key=lambda row: abs(work[row, i]))
        work[[i, pivot]] = work[[pivot, i]]
        order[i], order[pivot] = order[pivot], order[i]
        for row in range(i + 1, m):
            if work[row, i] != 0:
                work[row, i] = work[row, i] / work[i, i]
                work[row, i + 1 :] = work[row, i + 1 :] - work[row, i] * work[i, i + 1 :]
    unit = lower(work[:, :k], -1)
    for i in range(k):
        unit[i, i] = mpf(1)
    return unit, upper(work[:k]), order


def qr(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q [m, k] and R [k, n] with a positive diagonal, by Gram and Schmidt; ZeroDivisionError for dependent columns."""
    m, n = a.shape
    k = min(m, n)
    q, r = zeros(m, k), zeros(k, n)
    for j in range(n):
        rest = a[:, j]
        for i in range(min(j, k)):
            r[i, j] = (q[:, i] * a[:, j]).sum()
            rest = rest - r[i, j] * q[:, i]
        if j < k:
            r[j, j] = norm(rest)
            q[:, j] = rest / r[j, j]
    return q, r


def norm(x: np.ndarray):
    """Euclidean, of all entries."""
    return mp.sqrt(sum((abs(value) ** 2 for value in x.ravel()), start=mpf(0)))


def eigh(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending eigenvalues [n] and orthonormal eigenvectors (columns) of a symmetric matrix, by Jacobi's rotations."""
    a, n, vectors = a.copy(), len(a), eye(len(a))
    negligible = norm(a) * mpf(10) ** -mp.dps
    with mp.extradps(10):
        while max((abs(a[i, j]) for i in range(n) for j in range(i)), default=0) > negligible:
            for p, q in itertools.combinations(range(n), 2):
                if a[p, q] != 0:
                    rotation = _rotation(a[p, p], a[q, q], a[p, q])
                    a[:, [p, q]] = a[:, [p, q]] @ rotation
                    a[[p, q]] = rotation.T @ a[[p, q]]
                    vectors[:, [p, q]] = vectors[:, [p, q]] @ rotation
    order = sorted(range(n), key=lambda i: a[i, i])
    return a.diagonal()[order], vectors[:, order]


def _rotation(app, aqq, apq) -> np.ndarray:
    """That makes [[app, apq], [apq, aqq]] diagonal."""
    theta = (aqq - app) / (2 * apq)
    t = (1 if theta >= 0 else -1) / (abs(theta) + mp.sqrt(theta**2 + 1))
    c = 1 / mp.sqrt(t**2 + 1)
    return np.array([[c, t * c], [-t * c, c]], object)


def svd(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U [m, k], descending singular values [k], Vᵀ [k, n]: one-sided rotations make the columns orthogonal.

    A column of U whose singular value is 0 is 0.
    """
    if a.shape[0] < a.shape[1]:
        u, s, vt = svd(a.T)
        return vt.T, s, u.T
    work, n = a.copy(), a.shape[1]
    vectors, tiny, skew = eye(n), mpf(10) ** -mp.dps, mpf(1)
    with mp.extradps(10):
        while skew > tiny:
            skew = mpf(0)
            for p, q in itertools.combinations(range(n), 2):
                x, y, z = ((work[:, i] * work[:, j]).sum() for i, j in ((p, p), (q, q), (p, q)))
                if abs(z) > tiny * mp.sqrt(x * y):
                    skew = max(skew, abs(z) / mp.sqrt(x * y))
                    rotation = _rotation(x, y, z)
                    work[:, [p, q]] = work[:, [p, q]] @ rotation
                    vectors[:, [p, q]] = vectors[:, [p, q]] @ rotation
    s = np.array([norm(work[:, i]) for i in range(n)], object)
    order = sorted(range(n), key=lambda i: -s[i])
    u = np.stack([work[:, i] / s[i] if s[i] else work[:, i] for i in order], axis=1)
    return u, s[order], vectors[:, order].T


def pinv(a: np.ndarray) -> np.ndarray:
    """Moore and Penrose's. Where a has full rank by the normal equations, otherwise from the singular values."""
    if det(a.T @ a if a.shape[0] >= a.shape[1] else a @ a.T) != 0:
        return solve(a.T @ a, a.T) if a.shape[0] >= a.shape[1] else solve(a @ a.T, a).T
    u, s, vt = svd(a)
    return vt.T @ np.diag([1 / value if value > s[0] * mpf(10) ** (-mp.dps // 2) else mpf(0) for value in s]) @ u.T


def expm_2x2(a: np.ndarray, along: np.ndarray | None = None) -> np.ndarray:
    """eᵃ = eᵐ (cosh √q + b sinh √q / √q), where a = m + b, the trace of b is 0 and b² = q; with `along`, its derivative
    in that direction instead."""
    m, b, q = _parts_2x2(a)
    root = mp.sqrt(q)
    c, s = mp.re(mp.cosh(root)), mp.re(mp.sinh(root) / root) if q else mpf(1)
    if along is None:
        return mp.exp(m) * (c * eye(2) + s * b)
    dm, db, _ = _parts_2x2(along)
    dq = 2 * b[0, 0] * db[0, 0] + b[0, 1] * db[1, 0] + db[0, 1] * b[1, 0]
    dc, ds = s / 2 * dq, ((c - s) / (2 * q) if q else mpf(1) / 6) * dq
    return mp.exp(m) * ((dm * c + dc) * eye(2) + (dm * s + ds) * b + s * db)


def _parts_2x2(a: np.ndarray) -> tuple:
    m, half = (a[0, 0] + a[1, 1]) / 2, (a[0, 0] - a[1, 1]) / 2
    return m, np.array([[half, a[0, 1]], [a[1, 0], -half]], object), half**2 + a[0, 1] * a[1, 0]


def sqrtm_2x2(a: np.ndarray) -> np.ndarray:
    """Principal; by Cayley and Hamilton's theorem (a + √det) / √(trace + 2 √det)."""
    root = mp.sqrt(det(a))
    return (a + root * eye(2)) / mp.sqrt(a[0, 0] + a[1, 1] + 2 * root)
