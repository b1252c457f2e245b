"""Stage 10: the same gradient wherever the function stands: eager, under vmap, inside scan and checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from convnet.gradcheck.comparison import compare
from convnet.gradcheck.compiled import Leaves, as_float64
from convnet.gradcheck.subject import Subject
from convnet.gradcheck.verdict import Check

COPIES = 3


def _scales(subject: Subject, leaves: Leaves, g: Leaves) -> Leaves:
    return subject.conditioning(subject.gradient_of, leaves, g)


def context(subject: Subject) -> Iterator[Check]:
    """Three nearby points at once, each transform against the same points one by one."""
    points = [subject.leaves] + [
        [x * (1 + 1e-3 * subject.rng.standard_normal(x.shape)) for x in subject.leaves] for _ in range(COPIES - 1)
    ]
    g = subject.cotangents[0]
    alone = [as_float64(subject.program.vjp(point, subject.constants, g)) for point in points]
    scale = [np.stack(leaves) for leaves in zip(*(_scales(subject, p, g) for p in points), strict=True)]
    stacked = [np.stack(leaves) for leaves in zip(*points, strict=True)]
    expected = [np.stack(leaves) for leaves in zip(*alone, strict=True)]

    def compared(name: str, run: Callable, *inputs, expected=expected, scale=scale) -> Check:
        try:
            actual = as_float64(run(*inputs))
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"
            return Check("context", name, "untested", note=reason)
        return compare("context", name, subject.program.names, actual, expected, scale, subject.bound())

    yield compared("vmap", subject.program.vmapped, stacked, subject.constants, g)
    yield compared("scan", subject.program.scanned, stacked, subject.constants, g)
    eager = [subject.leaves, subject.constants, g]
    yield compared("eager", subject.program.plain_vjp, *eager, expected=alone[0], scale=[leaf[0] for leaf in scale])
    several = [np.stack(leaves) for leaves in zip(g, *subject.cotangents[1:COPIES], strict=True)]
    expected = [np.stack(v) for v in zip(*subject.gradients[:COPIES], strict=True)]
    scale = [np.stack(v) for v in zip(*subject.scales[:COPIES], strict=True)]
    yield compared(
        "vmap over g alone", subject.program.vmapped_cotangents, subject.leaves, subject.constants, several,
        expected=expected, scale=scale,
    )  # fmt: skip
    if subject.level.transforms:
        yield compared("checkpoint", subject.program.rematerialised, stacked, subject.constants, g)
        yield _all_mapped(subject, stacked, several)
        if len(subject.leaves) > 1:
            for leaf, name in enumerate(subject.program.names):
                yield _one_mapped(subject, leaf, name, stacked[leaf], g)


def _all_mapped(subject: Subject, stacked: Leaves, several: Leaves) -> Check:
    """Points and cotangents mapped together, as in a batch of independent problems."""
    pairs = [([x[i] for x in stacked], [c[i] for c in several]) for i in range(len(stacked[0]))]
    expected = [np.stack(v) for v in zip(*(as_float64(subject.gradient_of(*pair)) for pair in pairs), strict=True)]
    scale = [np.stack(v) for v in zip(*(_scales(subject, *pair) for pair in pairs), strict=True)]
    name = "vmap over arguments and g"
    try:
        actual = as_float64(subject.program.vmapped_both(stacked, subject.constants, several))
    except Exception as error:
        return Check("context", name, "untested", note=type(error).__name__)
    return compare("context", name, subject.program.names, actual, expected, scale, subject.bound())


def _one_mapped(subject: Subject, leaf: int, name: str, stacked: np.ndarray, g: Leaves) -> Check:
    """vmap over a single argument."""
    points = [[x if i == leaf else other for i, other in enumerate(subject.leaves)] for x in stacked]
    expected = [np.stack(v) for v in zip(*(as_float64(subject.gradient_of(p, g)) for p in points), strict=True)]
    scales = [_scales(subject, point, g) for point in points]
    scale = [np.stack(v) for v in zip(*scales, strict=True)]
    title = f"vmap over {name} alone"
    mapped = [stacked if i == leaf else other for i, other in enumerate(subject.leaves)]
    try:
        actual = as_float64(subject.program.vmapped_over[leaf](mapped, subject.constants, g))
    except Exception as error:
        return Check("context", title, "untested", note=type(error).__name__)
    return compare("context", title, subject.program.names, actual, expected, scale, subject.bound())
