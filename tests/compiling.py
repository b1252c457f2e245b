"""Programs that run for milliseconds, compiled in half the time."""

from contextlib import contextmanager

import jax
import pytest


@contextmanager
def quick_compilation():
    """`Lowered.compile`, as runs call it, without XLA's optimisations."""
    compile_ = jax.stages.Lowered.compile
    with pytest.MonkeyPatch.context() as patch:
        options = {"xla_backend_optimization_level": 0}
        patch.setattr(jax.stages.Lowered, "compile", lambda self, own: compile_(self, own | options))
        yield
