"""Whole networks: every op where it stands, and the gradient of the whole loss, so that an error has an address.

The network runs once with ops that record what they are given and what comes down to them. With the true upstream
gradient each op is checked alone, on the very numbers it meets in this network. An error of one rule then shows at its
own calls and nowhere else, however far it would have travelled through the layers below. What stands beside the op set
is the same code on both sides of that comparison: the loss is differenced for it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck.network.calls import record
from convnet.gradcheck.network.judged import Judge, folded
from convnet.gradcheck.network.slopes import Slopes
from convnet.gradcheck.network.whole import Whole
from convnet.gradcheck.verdict import Check, Report
from convnet.ops import AUTO, HAND, OpSet

__all__ = ["audit_network"]

NOT_JUDGED = (
    Check(
        "precisions", "float32 of the code beside the ops; bfloat16; float16", "untested", note="use audit for these"
    ),
    Check("scope", "second order; other transforms; randomness; images' gradient; other batches", "untested"),
)
"""What an audit of a network says nothing about."""


def audit_network(
    apply: Callable,
    variables,
    images,
    labels,
    *,
    hand: OpSet = HAND,
    auto: OpSet = AUTO,
    loss: str = "softmax_cross_entropy",
    frozen: Sequence[str] = (),
    seed: int = 0,
    name: str = "network",
) -> Report:
    """Are the gradients of `hand` those of `auto`, and the slopes of the loss, in this network?

    apply: `(ops, variables, images) -> logits`, the network through an OpSet, without randomness. variables: its
    parameters, a pytree; floating-point leaves are widened to float64, and the network must compute in what it is
    given. images: [N, H, W, C]; labels: [N]. loss: the op of the OpSet that turns logits and labels into losses.
    frozen: names of variables whose gradient is by design not the slope of the loss: held by `stop_gradient`, or an
    estimate straight through.

    The stages of the Report:
    ops: one check per call ("conv2d in conv1"), the loss among them: value and gradient, by layer and class of entries.
    consistency: every call's Jᵀg is linear in g. precisions: every call in float32, with JAX's defaults.
    parameters: the mean loss, and its gradient in each parameter, against autodiff's.
    differences: the slope of the loss along random directions, in each parameter and in all. It alone sees code beside
    the op set. Where the network stands on a tie or a kink, it says so.
    What is not judged is listed as untested: calls under `vmap` or `checkpoint`, say, which only the last two see.

    Raises ValueError where the network does not compute in float64, or calls no op, and for frozen names of nothing.
    """
    if not hasattr(auto, loss):
        raise ValueError(f"loss is {loss!r}: expected an op of the OpSet, softmax_cross_entropy say")
    rng = np.random.default_rng(seed)
    report = Report(name, "network", seed)
    with jax.enable_x64(True), np.errstate(all="ignore"):
        variables, images = jax.tree.map(_wide, variables), _wide(images)

        def losses(ops: OpSet, variables, images=images):
            return getattr(ops, loss)(apply(ops, variables, images), labels)

        value, calls = record(lambda ops, *point: jnp.mean(losses(ops, *point)), auto, variables, images)
        if not np.isfinite(value):
            raise ValueError(f"the loss is {value}: expected finite variables and images, and labels of known classes")
        report.checks.extend(_check_calls(calls, Judge(hand, auto, rng)))
        whole = Whole(losses, variables, hand, auto, rng)
        parameters, scale = whole.compared(whole.leaves, whole.here)
        slopes = Slopes(whole, scale, (frozen,) if isinstance(frozen, str) else tuple(frozen))
        sound = not report.failures  # a tie is no excuse where an op is wrong
        report.checks.extend(slopes.excused(check) if sound else check for check in parameters)
        report.checks.extend(slopes.differences())
        report.checks.extend(NOT_JUDGED)
    return report


def _wide(leaf):
    leaf = np.asarray(leaf)
    return jnp.asarray(leaf, jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.asarray(leaf)


def _check_calls(calls, judge: Judge) -> list[Check]:
    checks = [check for call in calls if call.args is not None for check in judge(call)]
    hidden = dict.fromkeys(call.op for call in calls if call.args is None)
    note = "inside vmap, checkpoint or the like: judged in the whole gradient only"
    checks += [Check("ops", f"{op}, {_count(calls, op)}", "untested", note=note) for op in hidden]
    by_call = [check for check in checks if check.stage == "ops"]
    return [*by_call, *folded([check for check in checks if check.stage != "ops"])]


def _count(calls, op: str) -> str:
    count = sum(call.op == op and call.args is None for call in calls)
    return f"{count} calls" if count > 1 else "1 call"
