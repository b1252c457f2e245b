"""What JAX offers × ops: all of it works, and a function that does not is told apart.

Of the ops under every feature a sample; `-m sweep` runs all. Features that take several devices run in a process of
their own, as a process decides once how many it has.
"""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import suite
from convnet.gradcheck.evidence import EVIDENCE
from convnet.gradcheck.features import FEATURES, Call, Feature, attempt, survey
from convnet.ops.primitive import primitive, transpose_linear

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {feature.name: feature for feature in FEATURES}
SEVERAL_DEVICES = ("pmap", "shard_map", "automatic sharding", "explicit sharding")
ONE_DEVICE = [name for name in BY_NAME if name not in SEVERAL_DEVICES]
ALWAYS = {  # once broken, and where the reasons differ
    *(("relu", "Python scalars"), ("conv2d", "export"), ("conv2d", "grad of export")),
    *((loss, flag) for loss in ("softmax_cross_entropy", "weston_watkins_hinge", "crammer_singer_hinge")
      for flag in ("debug_nans", "debug_infs")),
    *(("max_pool", "debug_infs"), ("logsumexp", "debug_infs"), ("gelu", "weak types"), ("batch_norm", "export")),
    # one op where no other test has the feature
    *(("silu", "disable_jit"), ("local_response_norm", "eval_shape"), ("avg_pool", "NumPy arrays")),
    *(("layer_norm", "donation"), ("softmax_cross_entropy", "custom_vmap"), ("conv_transpose2d", "sequential_vmap")),
    *(("logsumexp", "linear_transpose"), ("softplus", "checkpoint"), ("group_norm", "export")),
}  # fmt: skip


def sampled(names):
    """Every op under every feature: ALWAYS in every run, the others in the sweep."""
    return [
        pytest.param(op, name, marks=() if (op, name) in ALWAYS else pytest.mark.sweep)
        for op in EVIDENCE
        for name in names
    ]


@pytest.mark.parametrize(("op", "name"), sampled(ONE_DEVICE))
def test_every_op_under_every_feature(op, name):
    outcome = suite.feature_outcome(op, BY_NAME[name])
    if name == "linear_transpose" and outcome.status == "impossible":
        assert outcome.note == "the function is not linear in its first argument"
    elif outcome.status == "untested":
        assert (name, outcome.note) == ("Python scalars", "no argument is a single number")
    else:
        assert outcome.status == "works", outcome


def in_a_process(ops, features):
    command = [sys.executable, str(ROOT / "scripts" / "jax_features.py"), "--op", *ops, "--feature", *features]
    env = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("| `")]
    assert rows == ["| ".join([f"| `{op}` ", *["✓ "] * len(features), ""]).rstrip() for op in ops]


@pytest.mark.slow
def test_ops_on_several_devices():
    """More of explicit sharding in tests/ops/test_devices.py."""
    in_a_process(["conv2d", "local_response_norm"], ["explicit sharding"])


@pytest.mark.sweep
def test_every_op_on_several_devices():
    in_a_process(list(EVIDENCE), SEVERAL_DEVICES)


PLANTED = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from convnet.gradcheck.features import FEATURES, attempt

@jax.custom_vjp
def scaled(x, w):
    return x * w

def back(saved, g):
    x, w = saved
    return g * w, jnp.sum(g * x)

scaled.defvjp(lambda x, w: (x * w, (x, w)), back)  # the gradient of what is shared is not summed over devices

def flat(x, w):
    return jnp.tanh(x.T.reshape(-1) * w)  # an axis that is divided and one that is not, joined

args, features = (np.arange(12.0).reshape(3, 4), np.float64(2)), {feature.name: feature for feature in FEATURES}
for fn, name in ((scaled, "shard_map"), (flat, "explicit sharding")):
    for feature in (name, "jit"):
        print(fn.__name__, attempt(features[feature], fn, args, batch=(0,)))
"""


@pytest.mark.slow
def test_what_does_not_work_on_several_devices_is_told_apart():
    done = subprocess.run([sys.executable, "-c", PLANTED], capture_output=True, text=True, timeout=300, cwd=ROOT)
    lines = [line.split(" (")[0] for line in done.stdout.splitlines()]
    assert lines == ["scaled shard_map: fails", "scaled jit: works", "flat explicit sharding: fails", "flat jit: works"]


# --- functions of anybody ---------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(3, 4))


@jax.custom_vjp
def reverse_only(x):
    return x**3


reverse_only.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x**2 * g,))


def mapped_wrongly():
    """The identity, whose batching rule turns the mapped points around."""
    p = primitive("turned", lambda x: 1 * x, batch=lambda args, dims: (p.bind(args[0])[::-1], 0))
    transpose_linear(p, p.bind)
    return p.bind


def unused_nan(x):
    return jnp.where(x > 1e9, jnp.full_like(x, jnp.nan), x**2)


def unused_infinity(x):
    return jnp.maximum(x**2, jnp.full_like(x, -jnp.inf))


def strong(x):
    return x**2 + jnp.zeros(x.shape, x.dtype)


def of_four_columns(x):
    return x.reshape(3, 4) ** 2


BROKEN = {  # feature: (what fails, where it is the right function, what is said)
    "jvp": (reverse_only, lambda x: x**3, "can't apply forward-mode"),
    "vmap": (mapped_wrongly(), lambda x: x, "off by"),
    "sequential_vmap": (lambda x: x * 1.001, lambda x: x, "off by"),
    "debug_nans": (unused_nan, lambda x: x**2, "invalid value"),
    "debug_infs": (unused_infinity, lambda x: x**2, "invalid value"),
    "weak types": (strong, lambda x: x**2, "off by"),
    "export": (of_four_columns, lambda x: x**2, ""),
    "jit": (lambda x: x**2 * (1 + 1e-8), lambda x: x**2, "off by"),
    "hessian": (lambda x: jax.lax.stop_gradient(x) * x, lambda x: x**2, "off by"),
    "linear_transpose": (lambda x: 2.001 * x, lambda x: 2 * x, "off by"),
}


@pytest.mark.parametrize(("name", "fn", "right", "note"), [(k, *v) for k, v in BROKEN.items()], ids=BROKEN)
def test_what_does_not_work_is_told_apart(name, fn, right, note):
    outcome = attempt(BY_NAME[name], fn, (X,), batch=(0,), reference=right)
    assert outcome.status == "fails"
    assert note in outcome.note
    assert attempt(BY_NAME[name], right, (X,), batch=(0,), reference=right).status == "works"


def test_what_the_reference_cannot_either_is_impossible():
    outcome = attempt(BY_NAME["jvp"], reverse_only, (X,), reference=reverse_only)
    assert outcome.status == "impossible"
    assert attempt(BY_NAME["jvp"], reverse_only, (X,)).status == "fails"


def test_what_a_feature_has_no_use_for_is_untested():
    assert str(attempt(BY_NAME["Python scalars"], jnp.sin, (X,))) == (
        "Python scalars: untested (no argument is a single number)"
    )
    assert str(attempt(BY_NAME["export"], jnp.sin, (X,))) == "export: untested (no argument has a batch axis)"
    assert attempt(BY_NAME["Python scalars"], jnp.sin, (np.float64(0.3),)).status == "works"


def test_a_function_with_shared_and_integer_arguments(rng):
    def score(x, w, labels):
        return jnp.take_along_axis(jnp.tanh(x @ w), labels[:, None], axis=1)[:, 0]

    args = (X, rng.normal(size=(4, 5)), np.array([0, 4, 2]))
    for name in ("jit", "export", "scan"):
        assert str(attempt(BY_NAME[name], score, args, batch=(0, None, 0))) == f"{name}: works"


def test_a_survey_has_all_features():
    outcomes = list(survey(lambda x: 2 * x, (np.float64(0.3),)))
    assert [outcome.feature for outcome in outcomes] == list(BY_NAME)
    assert {outcome.status for outcome in outcomes} == {"works", "untested"}


def test_wrong_shapes_and_dtypes_are_told_apart():
    shape = Feature("shape", "", lambda call: [np.zeros((2, 3))], lambda call: [np.zeros((3, 2))])
    assert attempt(shape, jnp.sin, (X,)).note == "float64[2, 3]: expected float64[3, 2]"
    dtype = Feature("dtype", "", lambda call: [np.zeros(2, "float32")], lambda call: [np.zeros(2)])
    assert attempt(dtype, jnp.sin, (X,)).note == "float32[2]: expected float64[2]"
    count = Feature("count", "", lambda call: [], lambda call: [np.zeros(2)])
    assert attempt(count, jnp.sin, (X,)).note == "0 arrays: expected 1"
    nan = Feature("nan", "", lambda call: [np.full(2, np.nan)], lambda call: [np.zeros(2)])
    assert attempt(nan, jnp.sin, (X,)).status == "fails"


def test_larger_points_are_made_of_their_parts(rng):
    call = Call(lambda x, w, y: x @ w + y, (X, rng.normal(size=(4, 2)), np.arange(3)[:, None]), batch=(0, None, 0))
    (x, w), (y,) = call.larger(2)
    (one, _), (other, _) = call.parts(2)
    np.testing.assert_array_equal(x, np.concatenate([one[0], other[0]]))
    np.testing.assert_array_equal(y[:, 0], [0, 1, 2, 0, 1, 2])
    assert w is call.point[0][1]
    assert other[1] is w
    assert np.abs(one[0] - other[0]).min() > 0


def test_nothing_to_differentiate_is_refused():
    with pytest.raises(ValueError, match="args hold no floating-point array to differentiate in"):
        list(survey(jnp.sin, (np.arange(3),)))
