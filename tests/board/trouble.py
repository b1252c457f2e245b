"""Cases that give trouble, for processes that look them up."""

import os
import signal
import time

import jax.numpy as jnp
from mpmath import mp

from convnet.board.case import at, case

POINTS = at("generic", 0.4)


def hangs(x):
    time.sleep(600)


def crashes(x):
    os.kill(os.getpid(), signal.SIGSEGV)


def refuses(x):
    raise TypeError("not of this kind\nand more")


jnp.hangs, jnp.crashes, jnp.refuses = hangs, crashes, refuses
CASES = (
    *(case(f"jax.numpy.{name}", mp.sin, POINTS) for name in ("hangs", "crashes", "refuses")),
    case("jax.numpy.sin", mp.sin, POINTS),
)
