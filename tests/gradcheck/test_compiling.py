"""Programs that run a few times, and those of users beside them."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.compiling import QUICK, together

PRINTS = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from convnet.gradcheck.compiling import quick, usual

def f(x, y):
    return jnp.exp(jnp.sin(x) * y - y * y).sum(), jnp.tanh(x @ y.T).mean(0), jnp.cumsum(x * x + y, 1)

points = np.random.default_rng(3).standard_normal((2, 67, 129)).astype("float32")
total = lambda *point: sum(result.sum() for result in f(*point))
jit = {"jit": jax.jit, "quick": quick, "usual": usual}[sys.argv[1]]
print(json.dumps(jit(jax.grad(total))(*points).tolist()))
"""


def printed(way: str, flags: str = "") -> np.ndarray:
    """By a process of its own, one thread of which adds up in one order."""
    one = "--xla_cpu_multi_thread_eigen=false"
    env = os.environ | {"XLA_FLAGS": f"{one} {flags}", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", PRINTS, way], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


def test_users_have_the_usual_options_also_where_operations_are_compiled_quickly():
    flags = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())
    np.testing.assert_array_equal(printed("usual", flags), printed("jit"))


def test_functions_of_the_same_arguments_are_one_program():
    answers = together({"sum": lambda x, y: x + y, "product": lambda x, y: {"both": x * y}})(jnp.ones(3), 2.0)
    assert answers["sum"]().tolist() == [3.0] * 3
    assert answers["product"]()["both"].tolist() == [2.0] * 3


def test_one_that_fails_takes_no_other_with_it():
    def refuses(x):
        raise TypeError("not of this kind")

    answers = together({"twice": lambda x: 2 * x, "refuses": refuses})(jnp.ones(2))
    assert answers["twice"]().tolist() == [2.0, 2.0]
    with pytest.raises(TypeError, match="not of this kind"):
        answers["refuses"]()
