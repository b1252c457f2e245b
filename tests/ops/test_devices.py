"""Ops whose work is divided among devices, on meshes with explicit axes, where a type says how an array lies."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from convnet.ops import conv2d, dense, max_pool

WORKER = Path(__file__).with_name("explicit_meshes.py")

LIE = {  # case of the worker: how the value lies
    "conv2d": ("data", None, None, None),
    "conv2d, kernels": ("data", None, None, "model"),
    "conv2d, channels": ("data", None, None, None),
    "conv2d, rows": ("data", None, None, None),
    "conv2d, both axes": (("data", "model"), None, None, None),
    "conv2d, one axis twice": ("data", None, None, None),
    "conv_transpose2d": ("data", None, None, "model"),
    "vmap": (None, "data", None, None, None),
    "scan": ("data", None, None, None),
    "checkpoint": ("data", None, None, None),
    "dense": ("data", "model"),
    "dense, what is summed": ("data", None),
    "max_pool, channels": ("data", None, None, "model"),
    "max_pool, rows": ("data", None, None, None),
    "avg_pool, rows": ("data", None, None, None),
    "total_variation, rows": ("data",),
    "gram_matrix, channels": ("data", "model", None),
    "group_norm, channels": ("data", None, None, "model"),
    "batch_norm, one axis twice": ("data", None, None, None),
    "batch_norm_inference, one axis twice": ("data", None, None, None),
    "layer_norm, one axis twice": ("data", None, None, None),
    "local_response_norm, rows": ("data", "model", None, None),
    "softmax_cross_entropy, labels not divided": ("data",),
    "softmax_cross_entropy, classes": ("data",),
    "weston_watkins_hinge, classes": ("data",),
    "crammer_singer_hinge, labels not divided": ("data",),
    "one axis explicit": ("data", None, None, None),
}


@pytest.mark.slow
def test_values_and_gradients_on_explicit_meshes():
    done = subprocess.run([sys.executable, str(WORKER)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert dict(line.split(": ") for line in done.stdout.splitlines()) == {
        name: str(P(*spec)) for name, spec in LIE.items()
    }


EXPLICIT = AbstractMesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)


def lying(shape, *spec):
    return jax.ShapeDtypeStruct(shape, np.float32, sharding=NamedSharding(EXPLICIT, P(*spec)))


def types(f, *args):
    """How the value lies, and how the gradients do."""

    def run(*args):
        y, pullback = jax.vjp(f, *args)
        return y, pullback(y)

    with jax.sharding.use_abstract_mesh(EXPLICIT):
        y, gradients = jax.eval_shape(run, *args)
    return y.sharding.spec, [g.sharding.spec for g in gradients]


@pytest.mark.parametrize(
    ("f", "args", "expected"),
    [
        (conv2d, (lying((4, 6, 6, 2), "data"), lying((3, 3, 2, 4), None, None, None, "model")),
         P("data", None, None, "model")),
        (dense, (lying((4, 6), "data"), lying((6, 2), None, "model")), P("data", "model")),
        (lambda x: max_pool(x, 2), (lying((4, 6, 6, 2), "data", "model"),), P("data", None, None, None)),
    ],
    ids=["conv2d", "dense", "max_pool"],
)  # fmt: skip
def test_types_say_how_values_and_gradients_lie(f, args, expected):
    value, gradients = types(f, *args)
    assert value == expected
    assert gradients == [P(*a.sharding.spec, *[None] * (len(a.shape) - len(a.sharding.spec))) for a in args]
