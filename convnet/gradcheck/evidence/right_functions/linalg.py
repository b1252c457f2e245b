"""Linear algebra of `jax.numpy.linalg` and `jax.scipy.linalg`, on matrices far from singular."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from convnet.gradcheck.evidence.right_functions.right import (
    MODERATE,
    Draw,
    RightFunction,
    definite,
    invertible,
    normal,
    right,
)

SIZE = 4


def matrix(rng, scale):
    return (scale * invertible(rng, SIZE),)


def matrices(rng, scale):
    return (scale * np.stack([invertible(rng, SIZE) for _ in range(3)]),)


def positive_definite(rng, scale):
    return (scale * definite(rng, SIZE),)


def system(rng, scale):
    return scale * invertible(rng, SIZE), scale * rng.standard_normal((SIZE, 2))


def definite_system(rng, scale):
    return scale * definite(rng, SIZE), scale * rng.standard_normal(SIZE)


def triangular_system(rng, scale):
    return scale * np.tril(definite(rng, SIZE)), scale * rng.standard_normal(SIZE)


def apart(rng, scale):
    """Symmetric, with eigenvalues that are well apart."""
    q = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
    return (scale * (q * (np.arange(1, SIZE + 1) + rng.uniform(-0.3, 0.3, SIZE))) @ q.T,)


def tall(rng, scale):
    """[6, 3], with singular values that are well apart."""
    u, v = np.linalg.qr(rng.standard_normal((6, 3)))[0], np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return (scale * (u * (np.arange(1, 4) + rng.uniform(-0.3, 0.3, 3))) @ v,)


def tall_system(rng, scale):
    return (*tall(rng, scale), scale * rng.standard_normal(6))


def chain(rng, scale):
    return tuple(scale * rng.standard_normal(shape) for shape in ((3, 4), (4, 5), (5, 2)))


def small_generator(rng, scale):
    return (scale * rng.standard_normal((SIZE, SIZE)) / SIZE,)


def symmetric(a):
    return (a + a.T) / 2


def eigenvalues(a):
    return jnp.linalg.eigvalsh(symmetric(a))


def projector(a):
    """On the two leading eigenvectors: it does not depend on their signs."""
    v = jnp.linalg.eigh(symmetric(a))[1][:, -2:]
    return v @ v.T


def inverse_root(a):
    w, v = jnp.linalg.eigh(symmetric(a))
    return (v / jnp.sqrt(w)) @ v.T


def log_det(a):
    return 2 * jnp.log(jnp.diag(jnp.linalg.cholesky(a))).sum()


def mahalanobis(a, x):
    z = jsl.solve_triangular(jnp.linalg.cholesky(a), x, lower=True)
    return z @ z


def by_factors(a, b):
    return jsl.cho_solve(jsl.cho_factor(a, lower=True), b)


def by_lu(a, b):
    return jsl.lu_solve(jsl.lu_factor(a), b)


def low_rank(a):
    """The best approximation of rank 2."""
    u, s, v = jnp.linalg.svd(a, full_matrices=False)
    return (u[:, :2] * s[:2]) @ v[:2]


def upper(a):
    """R of QR with a positive diagonal."""
    r = jnp.linalg.qr(a)[1]
    return r * jnp.sign(jnp.diag(r))[:, None]


def by_normal_equations(a, b):
    return jnp.linalg.solve(a.T @ a, a.T @ b)


def conjugate_gradients(a, b):
    """With the tolerance that is usual."""
    return jax.scipy.sparse.linalg.cg(a, b, tol=1e-6)[0]


def exact_gradients(a, b):
    return jax.scipy.sparse.linalg.cg(a, b, tol=1e-13, maxiter=100)[0]


def power_series(a):
    """exp by its series, for matrices whose norm is about 1 or less."""
    term = total = jnp.eye(SIZE, dtype=a.dtype)
    for k in range(1, 40):
        term = term @ a / k
        total = total + term
    return total


def by_minors(a):
    """The determinant of a 4 × 4 matrix, by the pairs of its first two and last two rows."""
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    signs = (1, -1, 1, 1, -1, 1)
    first = [a[0, i] * a[1, j] - a[0, j] * a[1, i] for i, j in pairs]
    last = [a[2, i] * a[3, j] - a[2, j] * a[3, i] for i, j in pairs]
    return sum(s * x * y for s, x, y in zip(signs, first, reversed(last), strict=True))


def kronecker(a, b):
    return (a[:, None, :, None] * b[None, :, None, :]).reshape(a.shape[0] * b.shape[0], -1)


def norms(order) -> Callable:
    return lambda a: jnp.linalg.norm(a, order)


VECTOR: Draw = normal((7,))

RIGHT: tuple[RightFunction, ...] = (
    right("inv", jnp.linalg.inv, matrix, reference=lambda a: jnp.linalg.solve(a, jnp.eye(SIZE, dtype=a.dtype)),
          oracle=np.linalg.inv),
    right("inv, batched", jnp.linalg.inv, matrices, reference=jax.vmap(lambda a: jsl.inv(a))),
    right("det", jnp.linalg.det, matrix, reference=by_minors, oracle=np.linalg.det),
    right("slogdet", jnp.linalg.slogdet, matrix),
    right("log |det|", lambda a: jnp.linalg.slogdet(a)[1], matrix, reference=lambda a: jnp.log(jnp.abs(by_minors(a)))),
    right("solve", jnp.linalg.solve, system, reference=lambda a, b: jnp.linalg.inv(a) @ b, oracle=np.linalg.solve),
    right("solve by LU", by_lu, system, reference=jnp.linalg.solve),
    right("solve by Cholesky", by_factors, definite_system, symmetric="a",
          reference=lambda a, b: jnp.linalg.solve(symmetric(a), b)),
    right("solve_triangular", lambda a, b: jsl.solve_triangular(a, b, lower=True), triangular_system,
          reference=lambda a, b: jnp.linalg.solve(jnp.tril(a), b)),
    right("cholesky", jnp.linalg.cholesky, positive_definite),
    right("log det by Cholesky", log_det, positive_definite,
          reference=lambda a: jnp.linalg.slogdet(symmetric(a))[1]),
    right("Mahalanobis distance", mahalanobis, definite_system,
          reference=lambda a, x: x @ jnp.linalg.solve(symmetric(a), x)),
    right("eigenvalues", eigenvalues, apart),
    right("projector on eigenvectors", projector, apart),
    right("inverse square root", inverse_root, positive_definite),
    right("svd, values", jnp.linalg.svdvals, tall, reference=lambda a: jnp.sqrt(jnp.linalg.eigvalsh(a.T @ a))[::-1]),
    right("svd, low rank", low_rank, tall),
    right("nuclear norm", norms("nuc"), tall),
    right("spectral norm", norms(2), tall),
    right("Frobenius norm", norms(None), normal((4, 3)), reference=lambda a: jnp.sqrt(jnp.sum(a**2)),
          oracle=lambda a: np.linalg.norm(a)),
    right("maximal row sum", norms(np.inf), normal((4, 3)), reference=lambda a: jnp.abs(a).sum(1).max()),
    right("norm of a vector", norms(None), VECTOR, oracle=lambda a: np.sqrt((a**2).sum())),
    right("norm of order 1", norms(1), VECTOR, reference=lambda a: jnp.abs(a).sum()),
    right("norm of order 3", norms(3), VECTOR, oracle=lambda a: (np.abs(a) ** 3).sum() ** (1 / 3)),
    right("unit vectors", lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True), normal((4, 3)),
          reference=lambda x: x * jax.lax.rsqrt((x**2).sum(-1, keepdims=True))),
    right("pinv", jnp.linalg.pinv, tall, reference=lambda a: jnp.linalg.solve(a.T @ a, a.T)),
    # At larger scales JAX itself loses digits: the Hessian in reverse over reverse is off by 1e-9 at 30, 1e-3 at 1000.
    right("lstsq", lambda a, b: jnp.linalg.lstsq(a, b)[0], tall_system, (1e-3, 0.1, 1.0),
          reference=by_normal_equations),
    right("least squares by QR", lambda a, b: jsl.solve_triangular(jnp.linalg.qr(a)[1], jnp.linalg.qr(a)[0].T @ b),
          tall_system, reference=by_normal_equations),
    right("qr, positive", upper, tall, reference=lambda a: jnp.linalg.cholesky(a.T @ a).T),
    right("expm", jsl.expm, small_generator, (1e-3, 0.1, 1.0), reference=power_series, oracle=power_series),
    right("expm, large", jsl.expm, small_generator, (3.0, 10.0)),
    right("matrix_power", lambda a: jnp.linalg.matrix_power(a, 5), matrix, reference=lambda a: a @ a @ a @ a @ a,
          oracle=lambda a: np.linalg.matrix_power(a, 5)),
    right("multi_dot", lambda a, b, c: jnp.linalg.multi_dot([a, b, c]), chain, oracle=lambda a, b, c: a @ b @ c),
    right("einsum", lambda a, b: jnp.einsum("bij,bjk->bik", a, b), normal((2, 3, 4), (2, 4, 5)),
          reference=lambda a, b: a @ b, oracle=lambda a, b: a @ b),
    right("tensordot", lambda a, b: jnp.tensordot(a, b, 2), normal((3, 4, 2), (4, 2, 5)),
          oracle=lambda a, b: np.tensordot(a, b, 2)),
    right("kron", jnp.kron, normal((2, 3), (3, 2)), reference=kronecker),
    right("outer", jnp.outer, normal((3,), (4,)), oracle=np.outer),
    right("cross", jnp.cross, normal((4, 3), (4, 3)), oracle=np.cross),
    right("trace of a product", lambda a, b: jnp.trace(a @ b), normal((3, 4), (4, 3)),
          reference=lambda a, b: jnp.sum(a * b.T)),
    right("condition number", lambda a: jnp.linalg.cond(a), tall),
    right("sylvester by kron", lambda a, b, c: jnp.linalg.solve(
        jnp.kron(jnp.eye(3), a) + jnp.kron(b.T, jnp.eye(3)), c.T.reshape(-1)).reshape(3, 3).T,
          lambda rng, scale: (scale * definite(rng, 3), scale * definite(rng, 3), scale * rng.standard_normal((3, 3)))),
    right("eigh_tridiagonal by eigh", lambda d, e: jnp.linalg.eigvalsh(jnp.diag(d) + jnp.diag(e, 1) + jnp.diag(e, -1)),
          lambda rng, scale: (scale * (3 * np.arange(5) + rng.standard_normal(5)), scale * rng.uniform(0.3, 1, 4))),
    right("conjugate gradients", conjugate_gradients, definite_system, MODERATE, accuracy=1e-4, symmetric="a"),
    right("conjugate gradients to the end", exact_gradients, definite_system, MODERATE, accuracy=1e-9, symmetric="a",
          reference=jnp.linalg.solve),
    right("whitening", lambda x: jsl.solve_triangular(
        jnp.linalg.cholesky(jnp.cov(x, rowvar=False)), (x - x.mean(0)).T, lower=True), normal((9, 3))),
    right("polynomial fit", lambda y: jnp.polyfit(np.linspace(-1, 1, 9), y, 2), normal((9,))),
    right("rotation by expm", lambda w: jsl.expm(jnp.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])),
          normal((3,)), (1e-3, 0.1, 1.0, 3.0)),
    right("Givens rotation", lambda t, x: jnp.array([[jnp.cos(t), -jnp.sin(t)], [jnp.sin(t), jnp.cos(t)]]) @ x,
          lambda rng, scale: (rng.uniform(-3, 3), scale * rng.standard_normal((2, 3)))),
)  # fmt: skip
