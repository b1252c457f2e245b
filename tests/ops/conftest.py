import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Compiling is nearly all of these tests' time, and what they judge is mathematics, not the optimiser."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
