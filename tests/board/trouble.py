"""Cases that give trouble, for processes that look them up."""

import os
import signal
import time

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


np.hangs, np.crashes, np.refuses = hangs, crashes, refuses  # where calls find them, and no inventory looks
CASES = (
    *(case(f"numpy.{name}", mp.sin, POINTS, call=f"np.{name}(x)") for name in ("hangs", "crashes", "refuses")),
    case("jax.numpy.sin", mp.sin, POINTS),
    case("jax.numpy.cos", mp.cos, POINTS),
    case("jax.numpy.cos", lambda x: mp.cos(2 * x), POINTS, call="jax.numpy.cos(2 * x)"),
)
