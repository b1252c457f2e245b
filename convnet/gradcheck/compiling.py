"""How programs are compiled that run a few times, so that what they cost is their compilation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

QUICK = {"xla_backend_optimization_level": 0}
"""Takes a third of the time. jax 0.10 has an older generator of loops, too, whose code is generated in half the time
where it is not divided among threads."""
USUAL = {"xla_backend_optimization_level": 3}
"""What XLA does unless it is told otherwise."""
if jax.__version_info__ < (0, 11):
    QUICK |= {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
    USUAL |= {"xla_cpu_use_fusion_emitters": True, "xla_cpu_parallel_codegen_split_count": 32}


def quick(f: Callable) -> Callable:
    """Compiled in a third of the time."""
    return jax.jit(f, compiler_options=QUICK)


def usual(f: Callable) -> Callable:
    """Compiled as users have it, also in a process where operations that are run one by one are compiled quickly."""
    return jax.jit(f, compiler_options=USUAL)


Answers = dict[str, Callable[[], Any]]
"""Name of a program -> what returns its result, or raises its error."""


def together(programs: Mapping[str, Callable]) -> Callable[..., Answers]:
    """Functions of the same arguments, compiled as one program, which takes much less than one by one where they have
    work in common, as the derivatives of a function have; where some of them fail, the others by themselves."""
    whole = quick(lambda *args: {name: f(*args) for name, f in programs.items()})
    alone = {name: quick(f) for name, f in programs.items()}

    def call(*args) -> Answers:
        try:
            found = jax.block_until_ready(whole(*args))
        except Exception:
            return {name: partial(f, *args) for name, f in alone.items()}
        return {name: partial(found.get, name) for name in found}

    return call
