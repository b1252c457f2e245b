"""How many threads XLA computes with on the CPU.

It divides a sum among them, so their number decides bits: a CNN's parameters differ between one thread and two. The
number of processors does not, once the threads are fixed: two threads on one core give the bits of two on two. So it is
recorded with every run, and whoever goes on with a run or repeats it takes its number.
"""

from __future__ import annotations

import os

VARIABLES = ("PJRT_NPROC", "NPROC")
"""Where XLA's CPU client looks for the size of its pool, in this order, before it counts processors."""


def processors() -> int:
    """Those that this process may use, where the system tells (its affinity), else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """How many threads XLA has, or will have when JAX first looks at its devices."""
    for name in VARIABLES:
        value = os.environ.get(name, "").strip()
        if value.isdecimal():
            return max(int(value), 1)
    return processors()


def use_threads(count: int) -> bool:
    """Let XLA compute with `count` threads in this process and those it starts, unless the environment says otherwise.

    Returns whether it will: JAX must not have looked at its devices yet (`jax.devices()`, any array).

    Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count!r}: expected 1 or more")
    if not any(os.environ.get(name) for name in VARIABLES) and not _jax_has_started():
        os.environ[VARIABLES[0]] = str(count)
    return threads() == count


def _jax_has_started() -> bool:
    """Whether JAX has looked at its devices: it does not tell, but then refuses another number of them."""
    import jax  # not above: who only counts processors need not wait for it

    setting = "jax_num_cpu_devices"
    before = jax.config.values[setting]
    try:
        jax.config.update(setting, before + 2)
    except RuntimeError:
        return True
    jax.config.update(setting, before)
    return False
