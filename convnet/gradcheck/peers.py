"""The gradient checkers that others use, given a function as the referee has it.

To be called under `jax.enable_x64` where numbers are of 64 bits. torch is imported only where its checker is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from convnet.gradcheck.compiled import CompiledFunction

JACOBIAN, CALLS = 20_000_000, 1000
"""Entries of the largest that is made; a call for one of its rows, or columns, costs as much as so many of them."""


def rejected_by_check_grads(f: Callable, args: Sequence, *, order: int, modes: Sequence[str]) -> bool:
    """Of `jax.test_util.check_grads` with its own steps and tolerances; `args` are the arrays to differentiate in.

    Raises what JAX does where the function has no such derivative.
    """
    try:
        check_grads(f, [*map(jnp.asarray, args)], order, tuple(modes))
    except AssertionError:
        return True
    return False


def rejected_by_gradcheck(program: CompiledFunction, args: Sequence, *, fast: bool) -> bool | None:
    """Of torch's `gradcheck` in float64 with its own steps and tolerances, on the function as one of torch.

    Slowly it makes the whole Jacobian. Where that would not fit into memory there is no answer: None.
    """
    import torch

    leaves, constants = program.split(args)

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            context.save_for_backward(*tensors)
            value = program.value([t.detach().numpy() for t in tensors], constants)
            return tuple(torch.from_numpy(np.array(v)) for v in value)

        @staticmethod
        def backward(context, *g):
            tensors = [t.detach().numpy() for t in context.saved_tensors]
            gradients = program.vjp(tensors, constants, [value.numpy() for value in g])
            return tuple(torch.from_numpy(np.array(v)) for v in gradients)

    outputs = sum(int(np.prod(out.shape)) for out in program.out)
    if not fast and sum(leaf.size for leaf in leaves) * max(outputs, CALLS) > JACOBIAN:
        return None
    tensors = [torch.from_numpy(leaf.copy()).requires_grad_() for leaf in leaves]
    return not torch.autograd.gradcheck(Rule.apply, tensors, fast_mode=fast, raise_exception=False)
