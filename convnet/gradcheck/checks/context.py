"""Stage 10: the same gradient wherever the function stands: eager, under vmap, inside scan and checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from convnet.gradcheck.exam import Exam
from convnet.gradcheck.judge import compare
from convnet.gradcheck.program import Leaves, as_float64
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
        np.stack(leaves) for leaves in zip(*(exam.conditioning(exam.gradient_of, p, g) for p in points), strict=True)
    ]
    stacked = [np.stack(leaves) for leaves in zip(*points, strict=True)]
    expected = [np.stack(leaves) for leaves in zip(*alone, strict=True)]

    def judge(name: str, run: Callable, *inputs, expected=expected, scale=scale) -> Check:
        try:
            actual = as_float64(run(*inputs))
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"
            return Check("context", name, "untested", note=reason)
        return compare("context", name, exam.program.names, actual, expected, scale, exam.bound())

    yield judge("vmap", exam.program.vmapped, stacked, exam.constants, g)
    yield judge("scan", exam.program.scanned, stacked, exam.constants, g)
    eager = [exam.leaves, exam.constants, g]
    yield judge("eager", exam.program.plain_vjp, *eager, expected=alone[0], scale=[leaf[0] for leaf in scale])
    several = [np.stack(leaves) for leaves in zip(g, *exam.cotangents[1:COPIES], strict=True)]
    expected = [np.stack(v) for v in zip(*exam.gradients[:COPIES], strict=True)]
    scale = [np.stack(v) for v in zip(*exam.scales[:COPIES], strict=True)]
    yield judge(
        "vmap over g alone", exam.program.vmapped_cotangents, exam.leaves, exam.constants, several,
        expected=expected, scale=scale,
    )  # fmt: skip
    if exam.level.transforms:
        yield judge("checkpoint", exam.program.rematerialised, stacked, exam.constants, g)
        yield _all_mapped(exam, stacked, several)
        if len(exam.leaves) > 1:
            for leaf, name in enumerate(exam.program.names):
                yield _one_mapped(exam, leaf, name, stacked[leaf], g)


def _all_mapped(exam: Exam, stacked: Leaves, several: Leaves) -> Check:
    """Points and cotangents mapped together, as in a batch of independent problems."""
    pairs = [([x[i] for x in stacked], [c[i] for c in several]) for i in range(len(stacked[0]))]
    expected = [np.stack(v) for v in zip(*(as_float64(exam.gradient_of(*pair)) for pair in pairs), strict=True)]
    scale = [np.stack(v) for v in zip(*(exam.conditioning(exam.gradient_of, *pair) for pair in pairs), strict=True)]
    name = "vmap over arguments and g"
    try:
        actual = as_float64(exam.program.vmapped_both(stacked, exam.constants, several))
    except Exception as error:
        return Check("context", name, "untested", note=type(error).__name__)
    return compare("context", name, exam.program.names, actual, expected, scale, exam.bound())


def _one_mapped(exam: Exam, leaf: int, name: str, stacked: np.ndarray, g: Leaves) -> Check:
    """vmap over a single argument."""
    points = [[x if i == leaf else other for i, other in enumerate(exam.leaves)] for x in stacked]
    expected = [np.stack(v) for v in zip(*(as_float64(exam.gradient_of(p, g)) for p in points), strict=True)]
    scales = [exam.conditioning(exam.gradient_of, point, g) for point in points]
    scale = [np.stack(v) for v in zip(*scales, strict=True)]
    title = f"vmap over {name} alone"
    mapped = [stacked if i == leaf else other for i, other in enumerate(exam.leaves)]
    try:
        actual = as_float64(exam.program.vmapped_over[leaf](mapped, exam.constants, g))
    except Exception as error:
        return Check("context", title, "untested", note=type(error).__name__)
    return compare("context", title, exam.program.names, actual, expected, scale, exam.bound())
