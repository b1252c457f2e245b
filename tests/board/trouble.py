"""Cases that give trouble, for processes that look them up."""

import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
from mpmath import mp

from convnet.board.case import at, case

POINTS = at("generic", 0.4)


def hangs(x):
    time.sleep(600)


def crashes(x):
    os.kill(os.getpid(), signal.SIGSEGV)


def refuses(x):
    raise TypeError("not of this kind\nand more")


QUICKLY = "--xla_backend_optimization_level=0"


def rounds(x):
    """Another gradient in a process that compiles quickly, and without jit."""
    try:
        bool((x == x).all())
    except jax.errors.ConcretizationTypeError:
        return jnp.sin(x)
    return jnp.sin(x) * (2 if QUICKLY in os.environ.get("XLA_FLAGS", "") else 1)


np.hangs, np.crashes, np.refuses, np.rounds = (
    hangs,
    crashes,
    refuses,
    rounds,
)  # where calls find them, and no inventory looks
CASES = (
    *(
        case(f"numpy.{name}", mp.sin, POINTS, call=f"np.{name}(x)")
        for name in ("hangs", "crashes", "refuses", "rounds")
    ),
    case("jax.numpy.sin", mp.sin, POINTS),
    case("jax.numpy.cos", mp.cos, POINTS),
    case("jax.numpy.cos", lambda x: mp.cos(2 * x), POINTS, call="jax.numpy.cos(2 * x)"),
)
