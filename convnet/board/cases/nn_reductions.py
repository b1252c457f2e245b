"""`jax.nn`: functions that see a whole axis: normalizations, gates, attention."""

from __future__ import annotations

import numpy as np
import scipy.special
from mpmath import mp, mpf

from convnet.board import exact, real
from convnet.board.case import Case, at, case, numbers

ROWS = (
    *at("generic", numbers(0.3, -1.2, 2.1), numbers(-0.7, 0.4, 0.1)),
    *at("tail", numbers(300.0, 299.0, -5.0), numbers(-800.0, -801.0, -750.0), numbers(0.0, -1000.0, 1.0),
        numbers(1e10, 1e10 - 3, 1.0), numbers(1e-10, -1e-10, 3e-10)),
    *at("tie", numbers(1.5, 1.5, 1.5), numbers(2.0, 2.0, -1.0)),
    *at("zero", numbers(0.0, 0.0, 0.0)),
    *at("length one", numbers(1.7)),
)  # fmt: skip
SQUARE = at("generic", np.array([[0.3, -1.2], [2.1, 0.4]]), np.array([[-0.6, 1.1], [0.2, 5.0]]))
MASKED = (*at("generic", numbers(0.3, -1.2, 2.1)), *at("tail", numbers(300.0, 3000.0, -300.0)),
          *at("tie", numbers(1.5, 1.5, 1.5)))  # fmt: skip
"""The second entry is left out."""
MASK = "where=jnp.array([True, False, True])"
EPSILON = "1e-5"


def kept(x: np.ndarray) -> np.ndarray:
    return x[[0, 2]]


def log_of_sum(x: np.ndarray, b: np.ndarray) -> mpf:
    """log |Σ b eˣ|."""
    return mp.log(abs(mp.fsum(b * exact.exp(x))))


def standardize(x: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Of a vector; mean and variance are those of `seen`."""
    seen = x if seen is None else seen
    mean = sum(seen) / len(seen)
    return (x - mean) / mp.sqrt(sum((seen - mean) ** 2) / len(seen) + mpf(EPSILON))


def glu(x: np.ndarray) -> np.ndarray:
    half = len(x) // 2
    return x[:half] * exact.entrywise(real.logistic)(x[half:])


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, *, bias=0, seen=None) -> np.ndarray:
    """[T, N, H], [S, K, H], [S, K, H] -> [T, N, H]; of heads that are more than keys', as many share one. seen: [T, S],
    true where a query sees a key."""
    heads, size = q.shape[1:]
    shared = heads // k.shape[1]
    found = np.empty(q.shape, object)
    for n in range(heads):
        logits = q[:, n] @ k[:, n // shared].T / mp.sqrt(size) + bias
        for t, row in enumerate(logits):
            own = np.arange(len(row)) if seen is None else np.flatnonzero(seen[t])
            found[t, n] = exact.softmax(row[own]) @ v[own, n // shared]
    return found


def column(*values: float) -> np.ndarray:
    """[T, 1, 1]."""
    return numbers(*values)[:, None, None]


HEADS = (
    *at("generic", (column(0.3, -1.2), column(0.7, 1.9), column(0.4, -0.9)),
        (column(2.3, 1.2), column(-0.7, 0.2), column(1.4, 3.0))),
    *at("tail", (column(30.0, -20.0), column(10.0, -9.0), column(0.4, -0.9))),
    *at("tie", (column(0.3, -1.2), column(0.8, 0.8), column(0.4, 0.4))),
    *at("zero", (column(0.0, 0.0), column(0.7, 1.9), column(0.4, -0.9))),
)  # fmt: skip
WIDE_HEADS = at("generic", (np.array([[[0.3, -1.2]]]), np.array([[[0.7, 0.2]], [[1.9, -0.4]]]), np.array([[[0.4, 1.0]], [[-0.9, 0.6]]])))  # fmt: skip  # noqa: E501
SHARED_HEADS = at("generic", (np.array([[[0.3], [-1.2]]]), column(0.7, 1.9), column(0.4, -0.9)))
LOWER = np.tri(2, dtype=bool)


def heads(oracle, points, options: str = "", **rest) -> Case:
    call = f"jax.nn.dot_product_attention(q, k, v{options})"
    args, wrt = ("q, k, v", (0, 1, 2)) if "bias" not in options else ("q, k, v, b", (0, 1, 2, 3))
    return case(
        "jax.nn.dot_product_attention", oracle, points, args=args, call=call, elementwise=False, wrt=wrt, **rest
    )


def rows(name: str, oracle, points, call: str = "", **options) -> Case:
    return case(f"jax.nn.{name}", oracle, points, call=call or None, elementwise=False, **options)


SUMS = (
    *at("generic", (numbers(0.3, -1.2, 2.1), numbers(1.0, 0.5, 2.0)), (numbers(-0.7, 0.4), numbers(2.0, -0.5))),
    *at("tail", (numbers(300.0, 3000.0), numbers(1.0, 0.5))),
    *at("tie", (numbers(1.5, 1.5), numbers(0.5, 0.5))),
    *at("zero", (numbers(0.3, 1.2), numbers(1.0, 0.0)), (numbers(0.3, 0.3, 2.0), numbers(0.0, 0.5, 1.0))),
)
"""Exponents and factors, some of them 0. All sums are positive."""
NEGATIVE_SUMS = at("generic", (numbers(0.3, 1.2), numbers(1.0, -0.5)))

CASES: tuple[Case, ...] = (
    rows("softmax", exact.softmax, ROWS, scipy=scipy.special.softmax),
    rows("softmax", lambda x: exact.softmax(x, 0), SQUARE, "jax.nn.softmax(x, axis=0)"),
    rows("softmax", lambda x: exact.softmax(x.ravel()), SQUARE, "jax.nn.softmax(x, axis=None).ravel()"),
    rows("softmax", lambda x: np.insert(exact.softmax(kept(x)), 1, mpf(0)), MASKED, f"jax.nn.softmax(x, {MASK})"),
    rows("log_softmax", exact.log_softmax, ROWS, scipy=scipy.special.log_softmax),
    rows("log_softmax", lambda x: exact.log_softmax(x, 0), SQUARE, "jax.nn.log_softmax(x, axis=0)"),
    rows("log_softmax", lambda x: exact.log_softmax(kept(x)), MASKED,
         f"jax.nn.log_softmax(x, {MASK})[jnp.array([0, 2])]"),
    rows("logsumexp", real.logsumexp, ROWS, scipy=scipy.special.logsumexp),
    rows("logsumexp", lambda x: np.array([real.logsumexp(row) for row in x]), SQUARE, "jax.nn.logsumexp(x, axis=1)"),
    rows("logsumexp", lambda x: real.logsumexp(kept(x)), MASKED, f"jax.nn.logsumexp(x, {MASK})"),
    rows("logsumexp", log_of_sum, SUMS, "jax.nn.logsumexp(x, b=b)", args="x, b", wrt=(0, 1)),
    rows("logsumexp", log_of_sum, NEGATIVE_SUMS, "jax.nn.logsumexp(x, b=b, return_sign=True)[0]", args="x, b",
         wrt=(0, 1)),
    rows("logmeanexp", lambda x: real.logsumexp(x) - mp.log(len(x)), ROWS),
    rows("logmeanexp", lambda x: real.logsumexp(kept(x)) - mp.log(2), MASKED, f"jax.nn.logmeanexp(x, {MASK})"),
    rows("standardize", standardize, (*ROWS, *at("tail", numbers(1e4, 1e4 + 1, 1e4 - 2))), "jax.nn.standardize(x)"),
    rows("standardize", standardize, (*ROWS, *at("tail", numbers(1e4, 1e4 + 1, 1e4 - 2))),
         "jax.nn.standardize(x, algorithm='stable')"),
    rows("standardize", lambda x: standardize(x, kept(x)), MASKED, f"jax.nn.standardize(x, {MASK})"),
    rows("glu", glu, (*at("generic", numbers(0.3, -1.2, 2.1, 0.4)), *at("tail", numbers(300.0, 1.0, 30.0, -300.0)),
                      *at("zero", numbers(0.0, 0.0, 0.0, 0.0)))),
    heads(attention, (*HEADS, *WIDE_HEADS, *SHARED_HEADS)),
    heads(lambda q, k, v: attention(q, k, v, seen=LOWER), HEADS, ", is_causal=True"),
    heads(lambda q, k, v: attention(q, k, v, seen=LOWER), HEADS, ", local_window_size=(1, 0)"),
    heads(lambda q, k, v: attention(q, k, v, seen=LOWER), HEADS[:1],
          ", mask=jnp.array([[[[True, False], [True, True]]]])"),
    heads(lambda q, k, v: np.concatenate([attention(q, k, v)[:1], 0 * q[1:]]), HEADS[:1],
          ", query_seq_lengths=jnp.array([1], 'int32')"),
    heads(lambda q, k, v: attention(q, k[:1], v[:1]), HEADS[:1], ", key_value_seq_lengths=jnp.array([1], 'int32')"),
    heads(lambda q, k, v, b: attention(q, k, v, bias=b),
          at("generic", (column(0.3, -1.2), column(0.7, 1.9), column(0.4, -0.9), np.array([[0.1, -0.4], [0.6, 0.2]]))),
          ", bias=b[None, None]"),
    rows("scaled_dot_general", lambda x, y: x @ y.T,
         at("generic", (np.array([[0.3, -1.2]]), np.array([[2.1, 0.4], [0.5, 1.1]]))),
         "jax.nn.scaled_dot_general(x, y, (((1,), (1,)), ((), ())), preferred_element_type=x.dtype)",
         args="x, y", wrt=(0, 1)),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}
