"""Stage 10: the same value and gradient wherever the function stands: eager, under vmap, inside scan and checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import jax
import numpy as np

from convnet.gradcheck.arguments import Leaves, as_float64, is_key
from convnet.gradcheck.checks.variations import is_fixed, is_sorted
from convnet.gradcheck.subject import Subject
from convnet.gradcheck.terms import looks_at_maps
from convnet.gradcheck.verdict import Check

COPIES = 3


def context(subject: Subject) -> Iterator[Check]:
    """Three points at once, each transform against the same points one by one."""
    points = [subject.leaves, _near(subject), _rearranged(subject)]
    several = subject.cotangents[:COPIES]
    program, constants, g = subject.program, subject.constants, several[0]
    near = [_Alone(subject, point, constants, g) for point in points]
    stacked, cotangents = _stacked(points), _stacked(several)
    yield _compare("vmap", near, program.mapped((0, None, None)), stacked, constants, g)
    yield _compare("scan", near, program.scanned, stacked, constants, g)
    yield _compare("eager", near[0], program.plain_value_and_vjp, subject.leaves, constants, g)
    of_each = [_Alone(subject, subject.leaves, constants, one) for one in several]
    yield _compare("vmap over g alone", of_each, program.mapped((None, None, 0)), subject.leaves, constants, cotangents)
    if subject.level.thorough:
        yield _compare("checkpoint", near, program.rematerialised, stacked, constants, g)
        yield _compare("two uses in one program", near, program.used_together, points, constants, g, values=False)
        yield from _mapped_twice(subject, points, several)
        yield from _apart(subject, near[0], stacked)
        yield from _constants_mapped(subject, g)
        if looks_at_maps(program.traced("value_and_vjp", subject.leaves, constants, g)):
            yield from _subsets_mapped(subject, points, several)


def _near(subject: Subject) -> Leaves:
    return [x * (1 + 1e-3 * subject.rng.standard_normal(x.shape)) for x in subject.leaves]


def _rearranged(subject: Subject) -> Leaves:
    """The same numbers in another order, so that maxima, orders and branches are others than at the point itself; what
    has an order of its own, or is no function's argument in another, stays near."""
    rng, near = subject.rng, _near(subject)
    named = zip(subject.program.names, subject.leaves, strict=True)
    kept = [is_fixed(subject, name) or is_sorted(x) for name, x in named]
    moved = [x if stays else rng.permutation(x.ravel()).reshape(x.shape) for x, stays in zip(near, kept, strict=True)]
    try:
        found = jax.tree.leaves(subject.program.value_and_vjp(moved, subject.constants, subject.cotangents[0]))
    except Exception:  # of a callback, say, which is made for another order
        return near
    return moved if all(np.isfinite(y).all() for y in as_float64(found)) else near


@dataclass
class _Alone:
    """The function at one point with one cotangent."""

    subject: Subject
    leaves: Leaves
    constants: Leaves
    g: Leaves

    @cached_property
    def there(self) -> Subject:
        return self.subject.at(self.leaves, self.constants)

    @cached_property
    def results(self) -> Leaves:
        return self.there.results(self.leaves, self.g)

    @cached_property
    def scale(self) -> Leaves:
        return self.there.conditioning("value_and_vjp", self.leaves, self.g)

    @cached_property
    def noise(self) -> Leaves:
        return self.there.noise("value_and_vjp", self.leaves, self.g)


def _stacked(lists: Sequence[Leaves], axis: int = 0) -> Leaves:
    return [np.stack(leaves, axis) for leaves in zip(*lists, strict=True)]


def _each(alone, name: str) -> Leaves:
    """An attribute of each, stacked as they are nested."""
    if isinstance(alone, _Alone):
        return getattr(alone, name)
    return _stacked([_each(one, name) for one in alone])


def _compare(name: str, alone, transformed: Callable, *inputs, values: bool = True) -> Check:
    """alone: what is done at once, nested as its results are stacked. values: whether these are among the results."""
    subject = next(_flat(alone)).subject
    try:
        actual = as_float64(jax.tree.leaves(transformed(*inputs)))
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
        return Check("context", name, "untested", note=reason)
    start = 0 if values else len(subject.outputs)
    expected, scale = (_each(alone, part)[start:] for part in ("results", "scale"))
    return subject.compare(
        "context", name, actual, expected, scale, lambda: _each(alone, "noise")[start:],
        names=subject.result_names[start:], excused=[~np.isfinite(e) for e in expected],
    )  # fmt: skip


def _flat(alone) -> Iterator[_Alone]:
    if isinstance(alone, _Alone):
        yield alone
    else:
        for one in alone:
            yield from _flat(one)


def _mapped_twice(subject: Subject, points: list[Leaves], several: list[Leaves]) -> Iterator[Check]:
    """Points and cotangents together, as in a batch of independent problems that lie along the last axis, and batches
    of these along the first."""
    program, constants = subject.program, subject.constants
    inputs = _stacked(points, axis=-1), constants, _stacked(several, axis=-1)
    pairs = [_Alone(subject, point, constants, g) for point, g in zip(points, several, strict=False)]
    yield _compare("vmap over arguments and g", pairs, program.mapped((-1, None, -1)), *inputs)
    grid = [pairs, [*pairs[1:], pairs[0]]]
    leaves, cotangents = _each(grid, "leaves"), _each(grid, "g")
    yield _compare("vmap of vmap", grid, program.mapped((0, None, 0), (0, None, 0)), leaves, constants, cotangents)


def _apart(subject: Subject, here: _Alone, stacked: Leaves) -> Iterator[Check]:
    """Each result and each argument differentiated by itself, and each mapped by itself: rules look at which are."""
    program, (leaves, constants, g) = subject.program, (here.leaves, here.constants, here.g)
    if len(g) > 1:
        alone = [_Alone(subject, leaves, constants, only) for only in _each_alone(g)]
        yield _compare("each result alone", alone, program.of_each_result, leaves, constants, g, values=False)
    if len(leaves) == 1:
        return
    yield _compare("each argument alone", here, program.one_by_one, leaves, constants, g, values=False)
    for chosen, name in enumerate(program.names):
        mixed = [[x if i == chosen else y for i, y in enumerate(leaves)] for x in stacked[chosen]]
        alone = [_Alone(subject, point, constants, g) for point in mixed]
        axes = ([0 if i == chosen else None for i in range(len(leaves))], None, None)
        mapped = [stacked[chosen] if i == chosen else y for i, y in enumerate(leaves)]
        yield _compare(f"vmap over {name} alone", alone, program.mapped(axes), mapped, constants, g)


def _each_alone(g: Leaves) -> list[Leaves]:
    return [[c if i == chosen else np.zeros_like(c) for i, c in enumerate(g)] for chosen in range(len(g))]


def _constants_mapped(subject: Subject, g: Leaves) -> Iterator[Check]:
    """vmap over labels, masks and indices, each copy in another order."""
    keys = [is_key(c) for c in subject.constants]
    if all(keys):
        return

    def shuffled(c, key):
        return c if key else subject.rng.permutation(np.ravel(c)).reshape(np.shape(c))

    copies = [subject.constants]
    copies += [[shuffled(c, key) for c, key in zip(subject.constants, keys, strict=True)] for _ in range(COPIES - 1)]
    alone = [_Alone(subject, subject.leaves, constants, g) for constants in copies]
    stacked = [c[0] if key else np.stack(c) for c, key in zip(zip(*copies, strict=True), keys, strict=True)]
    axes = (None, [None if key else 0 for key in keys], None)
    name = f"vmap over {', '.join(subject.program.constant_names)}"
    yield _compare(name, alone, subject.program.mapped(axes), subject.leaves, stacked, g)


def _subsets_mapped(subject: Subject, points: list[Leaves], several: list[Leaves]) -> Iterator[Check]:
    """Which arguments are mapped together matters only to rules for `vmap` that somebody wrote: then every one with
    the cotangent, as gradients per example map them, every pair, and all of them with the constants."""
    names, count = subject.program.names, len(subject.leaves)
    chosen = [(i,) for i in range(count)] + list(combinations(range(count), 2)) if count > 1 else []
    for group in [*chosen, tuple(range(count))]:
        mixed = [[p[i] if i in group else points[0][i] for i in range(count)] for p in points]
        axes = [0 if i in group else None for i in range(count)]
        title = " and ".join(names[i] for i in group) if len(group) < count else "all arguments"
        yield _mapped(subject, f"vmap over {title} and g", mixed, axes, several, [subject.constants] * COPIES)
    keys = any(is_key(c) for c in subject.constants)
    if subject.constants and not keys:
        shuffled = [[subject.rng.permutation(np.ravel(c)).reshape(np.shape(c)) for c in subject.constants]]
        constants = [subject.constants, *shuffled, subject.constants]
        yield _mapped(subject, "vmap over everything", points, [0] * count, several, constants)


def _mapped(subject: Subject, name: str, points, axes: list, several, constants: list[Leaves]) -> Check:
    """axes: of the arguments; cotangents are mapped, and constants where they differ."""
    same = all(c is constants[0] for c in constants)
    alone = [_Alone(subject, *call) for call in zip(points, constants, several, strict=False)]
    stacked = [np.stack(xs) if axis == 0 else xs[0] for axis, xs in zip(axes, zip(*points, strict=True), strict=True)]
    given = constants[0] if same else [np.stack(cs) for cs in zip(*constants, strict=True)]
    program = subject.program.mapped((axes, None if same else [0] * len(given), 0))
    return _compare(name, alone, program, stacked, given, _stacked(several))
