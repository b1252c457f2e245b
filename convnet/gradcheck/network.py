"""Whole networks: hand-derived gradients against autodiff, op by op where each stands, so that an error has an address.

The network runs once with ops that record their calls. Autodiff of the plain forwards gives the true upstream gradient
of every call; with it each op is checked alone, on the very numbers it meets in this network. An error of one rule then
shows at its own calls and nowhere else, however far it would have travelled through the layers below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.comparison import compare, conditioning, floored, rms, tolerance
from convnet.gradcheck.compiled import CompiledFunction, as_float64
from convnet.gradcheck.verdict import Check, Report
from convnet.ops import AUTO, HAND, OpSet

PROBES = 8


@dataclass(frozen=True)
class Call:
    """One op as the network called it."""

    op: str
    args: tuple
    settings: dict
    output: Any


def audit_network(
    apply: Callable,
    variables,
    images,
    labels,
    *,
    hand: OpSet = HAND,
    auto: OpSet = AUTO,
    loss: str = "softmax_cross_entropy",
    seed: int = 0,
    name: str = "network",
) -> Report:
    """Are the gradients of `hand` those of `auto` in this network?

    apply: `(ops, variables, images) -> logits`, the network through an OpSet, without randomness. variables: its
    parameters, a pytree; floating-point leaves are widened to float64, and the network must compute in what it is
    given. images: [N, H, W, C]; labels: [N].

    The Report has two stages: "ops", one check per call ("conv2d in conv1"), which blames an error on a layer and on a
    class of entries, and "parameters", one check per parameter of the whole gradient of the mean loss.

    Raises ValueError where the network does not compute in float64, or calls no op.
    """
    if not hasattr(auto, loss):
        raise ValueError(f"loss is {loss!r}: expected an op of the OpSet, softmax_cross_entropy say")
    rng = np.random.default_rng(seed)
    report = Report(name, "network", seed)
    with jax.enable_x64(True), np.errstate(all="ignore"):
        variables, images = jax.tree.map(_wide, variables), _wide(images)

        def objective(ops: OpSet, variables):
            return jnp.mean(getattr(auto, loss)(apply(ops, variables, images), labels))

        value = float(objective(auto, variables))
        if not np.isfinite(value):
            raise ValueError(f"the loss is {value}: expected finite variables and images, and labels of known classes")
        calls = record(lambda ops: apply(ops, variables, images), auto)
        upstream = upstream_gradients(lambda ops: objective(ops, variables), auto, calls)
        for index, (call, g) in enumerate(zip(calls, upstream, strict=True)):
            report.checks.append(_check_call(call, g, hand, auto, _title(index, call, variables), rng))
        report.checks.extend(_check_parameters(objective, variables, hand, auto, calls, rng))
    return report


def _wide(leaf):
    leaf = np.asarray(leaf)
    return jnp.asarray(leaf, jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.asarray(leaf)


def _instrumented(ops: OpSet, wrap: Callable[[str, Callable], Callable]) -> OpSet:
    return OpSet(**{field.name: wrap(field.name, getattr(ops, field.name)) for field in fields(ops)})


def record(run: Callable[[OpSet], Any], ops: OpSet) -> list[Call]:
    """Every op that `run(ops)` calls, in order, with what it was given and returned."""
    calls: list[Call] = []

    def wrap(name, op):
        def recorded(*args, **settings):
            out = op(*args, **settings)
            calls.append(Call(name, args, settings, out))
            return out

        return recorded

    run(_instrumented(ops, wrap))
    if not calls:
        raise ValueError("apply calls no op of the OpSet it is given: there is nothing to audit")
    for call in calls:
        narrow = {str(leaf.dtype) for leaf in jax.tree.leaves(call.output) if leaf.dtype != jnp.float64}
        if narrow:
            raise ValueError(
                f"{call.op} returned {', '.join(narrow)} in this network: expected it to compute in float64"
            )
    return calls


def upstream_gradients(objective: Callable[[OpSet], Any], ops: OpSet, calls: list[Call]) -> list:
    """dL/dy of every call's result y: the gradient in a zero that is added to it."""

    def perturbed(zeros):  # the objective's own loss stands outside the network and is not recorded
        return objective(_combining(ops, jnp.add, zeros))

    return jax.jit(jax.grad(perturbed))([jax.tree.map(jnp.zeros_like, call.output) for call in calls])


def _combining(ops: OpSet, combine: Callable, values: list) -> OpSet:
    """`ops` whose results are combined with `values`, one per call in order."""
    remaining = iter(values)

    def wrap(name, op):
        return lambda *args, **settings: jax.tree.map(combine, op(*args, **settings), next(remaining))

    return _instrumented(ops, wrap)


def _check_call(call: Call, g, hand: OpSet, auto: OpSet, title: str, rng) -> Check:
    try:
        ours = CompiledFunction(getattr(hand, call.op), call.args, None, call.settings)
        theirs = CompiledFunction(getattr(auto, call.op), call.args, None, call.settings)
    except ValueError as error:
        return Check("ops", title, "failed", worst=str(error))
    leaves, constants = ours.split(call.args)
    g = jax.tree.leaves(g)
    if not any(np.any(value) for value in g):
        return Check("ops", title, "untested", note="no gradient reaches this call")
    wrong_value = _check_value(ours, theirs, leaves, constants, title)
    if wrong_value is not None:
        return wrong_value
    actual, expected = (as_float64(program.vjp(leaves, constants, g)) for program in (ours, theirs))
    scale = conditioning(
        lambda leaves, g: theirs.vjp(leaves, constants, g), leaves, as_float64(g), probes=PROBES, rng=rng
    )
    terms = max(leaf.size for leaf in (*leaves, *g))
    return compare("ops", title, ours.names, actual, expected, floored(scale, rms(scale)), 2 * tolerance(terms))


def _check_value(ours: CompiledFunction, theirs: CompiledFunction, leaves, constants, title: str) -> Check | None:
    """Another value is another function, whose gradient cannot be compared."""
    actual, expected = (as_float64(program.value(leaves, constants)) for program in (ours, theirs))
    for a, e in zip(actual, expected, strict=True):
        if not np.allclose(a, e, rtol=1e-9, atol=1e-9 * np.abs(e).max(initial=0.0)):
            text = f"the value differs from autodiff's by up to {np.abs(a - e).max():.3g}"
            return Check("ops", title, "failed", worst=text)
    return None


def _title(index: int, call: Call, variables) -> str:
    """The op, and the layer whose parameter it was given."""
    for arg in sorted((arg for arg in call.args[1:] if hasattr(arg, "shape")), key=np.size, reverse=True):
        found = [
            path
            for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
            if np.shape(arg) == leaf.shape and np.array_equal(arg, leaf)
        ]
        if len(found) == 1:  # two biases of zeros would name the wrong layer
            *layer, parameter = [str(getattr(key, "key", key)) for key in found[0]]
            return f"{call.op} in {'/'.join(layer).removeprefix('params/') or parameter}"
    return f"{call.op}, call {index + 1}"


def _check_parameters(objective: Callable, variables, hand: OpSet, auto: OpSet, calls: list[Call], rng) -> list[Check]:
    """The conditioning is that of a gradient whose every intermediate value is rounded, and every cotangent with it.

    For what no parameter moves may still be a sum that cancels: the gradient in a bias before batch norm is 0, to the
    rounding of the cotangents that it adds up. A factor at every call's result stands for these roundings.
    """
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path in paths]
    tree = jax.tree.structure(variables)
    ones, results = jax.tree.flatten([jax.tree.map(jnp.ones_like, call.output) for call in calls])

    @jax.jit
    def reference(leaves, factors):
        ops = _combining(auto, jnp.multiply, jax.tree.unflatten(results, factors))
        return jax.tree.leaves(jax.grad(objective, 1)(ops, jax.tree.unflatten(tree, leaves)))

    @jax.jit
    def gradient(leaves):
        return jax.tree.leaves(jax.grad(objective, 1)(hand, jax.tree.unflatten(tree, leaves)))

    leaves, ones = as_float64(jax.tree.leaves(variables)), as_float64(ones)
    actual, expected = as_float64(gradient(leaves)), as_float64(reference(leaves, ones))
    scale = conditioning(reference, leaves, ones, probes=PROBES, rng=rng)
    scale = floored(scale, rms(scale))
    bound = 4 * tolerance(max(leaf.size for leaf in leaves))  # the roundings of several layers, one after the other
    return [
        compare("parameters", name, [name], [a], [e], [s], bound)
        for name, a, e, s in zip(names, actual, expected, scale, strict=True)
    ]
