"""Stage 10: the same gradient wherever the function stands: eager, under vmap, inside scan and checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np

from convnet.gradcheck.exam import Exam
from convnet.gradcheck.judge import compare
from convnet.gradcheck.program import Leaves, _jit, as_float64
from convnet.gradcheck.verdict import Check

COPIES = 3


def context(exam: Exam) -> Iterator[Check]:
    """Three nearby points at once, each transform against the same points one by one."""
    points = [exam.leaves] + [
        [x * (1 + 1e-3 * exam.rng.standard_normal(x.shape)) for x in exam.leaves] for _ in range(COPIES - 1)
    ]
    g = exam.cotangents[0]
    alone = [as_float64(exam.program.vjp(point, exam.constants, g)) for point in points]
    scale = [
        np.stack(leaves)
        for leaves in zip(
            *(exam.conditioning(lambda p, g: exam.program.vjp(p, exam.constants, g), p, g) for p in points), strict=True
        )
    ]
    stacked = [np.stack(leaves) for leaves in zip(*points, strict=True)]
    expected = [np.stack(leaves) for leaves in zip(*alone, strict=True)]

    def judge(name: str, run: Callable[[], Leaves]) -> Check:
        try:
            actual = as_float64(run())
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"
            return Check("context", name, "untested", note=reason)
        return compare("context", name, exam.program.names, actual, expected, scale, exam.bound())

    def one(leaves):
        return exam.program.plain_vjp(leaves, exam.constants, g)

    yield judge("vmap", lambda: _jit(jax.vmap(one))(stacked))
    yield judge("scan", lambda: _jit(lambda xs: jax.lax.map(one, xs))(stacked))
    if exam.level.eager:
        yield judge("eager", lambda: [np.stack(leaf) for leaf in zip(*map(one, points), strict=True)])
        yield judge("checkpoint", lambda: _jit(lambda xs: jax.lax.map(_checkpointed(exam, g), xs))(stacked))
        if len(exam.leaves) > 1:
            for leaf, name in enumerate(exam.program.names):
                yield _one_mapped(exam, leaf, name, stacked, g)


def _checkpointed(exam: Exam, g: Leaves) -> Callable:
    def gradient(leaves):
        f = jax.checkpoint(lambda leaves: exam.program.plain(leaves, exam.constants))
        return jax.vjp(f, leaves)[1](g)[0]

    return gradient


def _one_mapped(exam: Exam, leaf: int, name: str, stacked: Leaves, g: Leaves) -> Check:
    """vmap over a single argument: the batching rules of an op differ by which of its operands is mapped."""

    def one(x):
        leaves = [x if i == leaf else other for i, other in enumerate(exam.leaves)]
        return exam.program.plain_vjp(leaves, exam.constants, g)

    def alone(x, g):
        leaves = [x if i == leaf else other for i, other in enumerate(exam.leaves)]
        return exam.program.vjp(leaves, exam.constants, g)

    expected = [np.stack(v) for v in zip(*(as_float64(alone(x, g)) for x in stacked[leaf]), strict=True)]
    scales = [exam.conditioning(lambda xs, g: alone(xs[0], g), [x], g) for x in stacked[leaf]]
    scale = [np.maximum(np.stack(v), base[None]) for *v, base in zip(*scales, exam.scales[0], strict=True)]
    title = f"vmap over {name} alone"
    try:
        actual = as_float64(_jit(jax.vmap(one))(stacked[leaf]))
    except Exception as error:
        return Check("context", title, "untested", note=type(error).__name__)
    return compare("context", title, exam.program.names, actual, expected, scale, exam.bound())
