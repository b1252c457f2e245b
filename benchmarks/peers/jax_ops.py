"""Single ops in JAX: one function per layer and direction, by itself, in a scan, or under vmap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from benchmarks import machine
from benchmarks.cases import PRECISIONS, ConvLayer, GemmTask, OpTask, PoolLayer, draw
from benchmarks.peers.program import Program
from convnet.ops import OpSet


def memory() -> int:
    """Bytes at most so far: of the accelerator where there is one, else of this process."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    return stats["peak_bytes_in_use"] if stats else machine.peak_bytes()


def precisely(precision: str, program: Program) -> Program:
    """`program`, traced and run so that products are as exact as a precision of the table says."""
    if precision != "float32" or jax.default_backend() == "cpu":
        return program

    def run(calls: int) -> float | None:
        with jax.default_matmul_precision("float32"):
            return program.run(calls)

    return replace(program, run=run)


def op_program(task: OpTask, opset: OpSet) -> Program:
    """Arguments are drawn by NumPy; every call computes on the same ones."""
    function, arguments = function_of(task, opset), arguments_of(task)
    if task.context == "scan":
        function = partial(_repeated, function, task.repeats)
    elif task.context == "vmap":
        function = jax.vmap(function)
    return precisely(task.precision, Program(caller(jax.jit(function), arguments), units=task.repeats))


def gemm_program(task: GemmTask) -> Program:
    a, b = (jnp.asarray(draw(name, (task.size, task.size))).astype(PRECISIONS[task.precision]) for name in "ab")
    return precisely(task.precision, Program(caller(jax.jit(jnp.matmul), (a, b))))


def function_of(task: OpTask, opset: OpSet) -> Callable[..., Array]:
    """Of a convolution: (x, w) for the forward pass, (g, w) for dL/dx, (g, x) for dL/dw. Of a pooling: (x,), (g, x).

    The gradient of a linear function does not use its value, so no forward pass is left in the compiled program.
    """
    layer = task.layer
    if isinstance(layer, PoolLayer):
        pool = partial(opset.max_pool, window=layer.window, stride=layer.stride)
        return pool if task.direction == "fwd" else lambda g, x: jax.vjp(pool, x)[1](g)[0]
    conv = partial(opset.conv2d, stride=layer.stride, padding=layer.padding, groups=layer.groups)
    dtype = PRECISIONS[task.precision]
    x, w = (jnp.zeros(shape, dtype) for shape in (layer.image_shape(task.batch), layer.kernel_shape()))
    return {
        "fwd": conv,
        "dx": lambda g, w: jax.vjp(lambda x: conv(x, w), jnp.zeros_like(x))[1](g)[0],
        "dw": lambda g, x: jax.vjp(lambda w: conv(x, w), jnp.zeros_like(w))[1](g)[0],
    }[task.direction]


def arguments_of(task: OpTask) -> tuple[Array, ...]:
    layer = task.layer
    shapes = {"x": layer.image_shape(task.batch), "g": layer.output_shape(task.batch)}
    if isinstance(layer, ConvLayer):
        shapes["w"] = layer.kernel_shape()
        names = {"fwd": "xw", "dx": "gw", "dw": "gx"}[task.direction]
    else:
        names = "x" if task.direction == "fwd" else "gx"
    lead = (task.repeats,) if task.context == "vmap" else ()
    return tuple(jnp.asarray(draw(name, (*lead, *shapes[name]))).astype(PRECISIONS[task.precision]) for name in names)


def _repeated(function: Callable[..., Array], steps: int, *arguments: Array) -> Array:
    """`function` at every step of a scan.

    The barrier makes the arguments look new at each step, so that nothing is computed once and for all before the
    loop; unlike other ways to do that it costs no pass over them.
    """

    def body(carry, _):
        count, _ = carry
        count, fresh = lax.optimization_barrier((count, arguments))
        return (count + 1, function(*fresh)), None

    result = jax.eval_shape(function, *arguments)
    start = jnp.zeros((), jnp.int32), jnp.zeros(result.shape, result.dtype)
    return lax.scan(body, start, length=steps)[0][1]


def caller(function: Callable[..., Array], arguments: tuple[Array, ...]) -> Callable[[int], None]:
    # On CPUs independent programs that wait in the queue run side by side, which would time something else. On an
    # accelerator they run in order, and waiting for each would time the launch.
    every = jax.default_backend() == "cpu"

    def run(calls: int) -> None:
        for _ in range(calls):
            result = function(*arguments)
            if every:
                result.block_until_ready()
        result.block_until_ready()

    return run
