"""What JAX offers beside a plain call, and whether a function still works, and is still right, under all of it.

    for outcome in features.survey(my_function, (x, w), batch=(0, None)):
        print(outcome)

A feature is a way to run a function that has a counterpart without it. Both give trees of arrays, the value and the
gradient mostly. The function under the feature is compared entry by entry, in float64, with the counterpart of a
reference: the same function under autodiff, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from convnet.gradcheck.features import devices, transforms
from convnet.gradcheck.features.call import Call
from convnet.gradcheck.subject import Untested

__all__ = ["FEATURES", "Call", "Feature", "Outcome", "attempt", "survey"]

TOLERANCE = 1e-9
"""Of the largest entry of an array, in float64: far above rounding, far below a wrong term."""


@dataclass(frozen=True)
class Feature:
    """Something that JAX offers: how to use it on a call, and what that must be equal to."""

    name: str
    what: str
    """How it is used here, in a line."""
    run: Callable[[Call], object]
    plain: Callable[[Call], object] | None = transforms.plain
    """The same without the feature, of the reference; None: `run` itself, of the reference."""


FEATURES = (
    Feature("jit", "compiled", transforms.plain),
    Feature("eager", "not compiled", transforms.eager),
    Feature("disable_jit", "under `jax.disable_jit()`", transforms.disable_jit),
    Feature("eval_shape", "shapes and dtypes alone", transforms.eval_shape, transforms.shapes),
    Feature("Python scalars", "an argument of one number is Python's float", transforms.python_scalars),
    Feature("NumPy arrays", "all arguments are NumPy's", transforms.numpy_arrays),
    Feature("weak types", "weakly typed arguments; is the value weakly typed?", transforms.weak_types, None),
    Feature("donation", "the gradient may take the memory of the arguments", transforms.donation),
    Feature("debug_nans", "no NaN is made, used or not", transforms.debug_nans),
    Feature("debug_infs", "no infinity is made", transforms.debug_infs),
    Feature("vmap", "three points at once", transforms.vmap, transforms.one_by_one),
    Feature("scan", "three points in a loop", transforms.scan, transforms.one_by_one),
    Feature(
        "custom_vmap", "mapped within a function that brings its own batching rule", transforms.custom_batching,
        transforms.values_one_by_one,
    ),
    Feature("sequential_vmap", "mapped by a loop", transforms.sequentially, transforms.one_by_one),
    Feature("jvp", "forward mode", transforms.jvp, transforms.jvp),
    Feature("linearize", "`jax.linearize`, applied to a tangent", transforms.linearize, transforms.jvp),
    Feature(
        "linear_transpose", "in the first argument, of what is linear in it", transforms.linear_transpose,
        transforms.adjoint,
    ),
    Feature("hessian", "`jax.hessian`, on a plane through the point", transforms.hessian, transforms.hessian),
    Feature("grad of grad", "reverse over reverse, on the same plane", transforms.grad_of_grad, transforms.hessian),
    Feature("checkpoint", f"with the policies {transforms.LISTED}", transforms.checkpoint, transforms.for_each_policy),
    Feature(
        "export", "one exported program for CPU, CUDA and TPU with a symbolic batch, at two sizes",
        transforms.symbolic_batch, transforms.two_sizes,
    ),
    Feature(
        "grad of export", "the exported value, differentiated afterwards", transforms.gradient_of_exported,
        transforms.twice_as_large,
    ),
    Feature("pmap", "a point for each device", devices.pmap, devices.one_by_one),
    Feature(
        "shard_map", "a part of the batch for each device, gradients of shared arguments summed",
        devices.shard_map, devices.part_by_part,
    ),
    Feature(
        "automatic sharding", "`jit` of a batch that lies divided among devices", devices.automatic_sharding,
        devices.whole,
    ),
    Feature(
        "explicit sharding", "a mesh with `AxisType.Explicit`, eager and compiled; gradients lie as their arguments do",
        devices.explicit_sharding, devices.whole_twice,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came of a feature."""

    feature: str
    status: str
    """works, fails; impossible where the reference fails too; untested where the feature has no use for the call."""
    note: str = ""
    """Why, in one line."""

    def __str__(self):
        return f"{self.feature}: {self.status}" + (f" ({self.note})" if self.note else "")


def survey(
    fn: Callable,
    args: Sequence,
    *,
    settings: Mapping | None = None,
    batch: Sequence[int | None] = (),
    reference: Callable | None = None,
) -> Iterator[Outcome]:
    """Every feature on fn(*args, **settings).

    batch: the axis of each argument along which independent examples lie, None for none. reference: the same function
    under autodiff. What fails for it, too, is impossible rather than wrong.

    Raises ValueError where there is nothing to differentiate, or where fn fails at these arguments.
    """
    for feature in FEATURES:
        yield attempt(feature, fn, args, settings=settings, batch=batch, reference=reference)


def attempt(
    feature: Feature,
    fn: Callable,
    args: Sequence,
    *,
    settings: Mapping | None = None,
    batch: Sequence[int | None] = (),
    reference: Callable | None = None,
) -> Outcome:
    """One feature, as `survey` does."""
    with jax.enable_x64(True):
        call = Call(fn, args, settings, batch)
        other = Call(reference, args, settings, batch) if reference else call
        try:
            actual = feature.run(call)
        except Untested as reason:
            return Outcome(feature.name, "untested", str(reason))
        except Exception as error:
            status = "impossible" if reference and _fails(feature.run, other) else "fails"
            return Outcome(feature.name, status, _first_line(error))
        wrong = _difference(actual, (feature.plain or feature.run)(other))
        return Outcome(feature.name, "fails" if wrong else "works", wrong)


def _fails(run: Callable, call: Call) -> bool:
    try:
        run(call)
    except Exception:
        return True
    return False


def _first_line(error: Exception) -> str:
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return kind + next(iter(str(error).splitlines()), "")


def _difference(actual, expected) -> str:
    """What is wrong, or nothing."""
    ours, theirs = (jax.tree.leaves(tree) for tree in (actual, expected))
    if len(ours) != len(theirs):
        return f"{len(ours)} arrays: expected {len(theirs)}"
    for a, b in zip(map(np.asarray, ours), map(np.asarray, theirs), strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return f"{a.dtype}{list(a.shape)}: expected {b.dtype}{list(b.shape)}"
        error, largest = np.max(abs(1.0 * a - b), initial=0), np.max(abs(b), initial=0)
        if not error <= TOLERANCE * largest:
            return f"off by {error:.1e} where the largest entry is {largest:.1e}"
    return ""
