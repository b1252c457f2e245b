"""Every test runs JAX strictly, without silent rank promotion, and compiles what it needs cheaply."""

import functools
import gc
import os
import tempfile

import jax
import numpy as np
import pytest
from jax.interpreters import mlir

from convnet.threads import processors

jax.config.update("jax_numpy_rank_promotion", "raise")

XLA_FLAGS = (
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
)


def pytest_xdist_auto_num_workers(config):
    """Half as many again as there are processors: many tests wait for a process they started, or for a signal."""
    del config
    return -(-3 * processors() // 2)


def pytest_configure(config):
    """Most of a test run is compiling small programs, so here that is made cheap.

    jax 0.10 knows an older generator of the same loops, which is done in a third of the time, and LLVM need not improve
    what runs for milliseconds, nor divide it among threads: a network's first variables are compiled in 2 s, not in 27.
    The short run under the newest Python (.ci/run) compiles as users do. Operations do not note the lines of Python
    that they come from, which takes a twentieth of the time; and all of them are written down in one MLIR context,
    where JAX makes a new one for every program, which takes a seventh of the time and half of the memory. And what one
    process has compiled, the others read: workers of xdist, and experiments run as commands. That folder goes with the
    run, so nothing of an older one is ever tested. Matplotlib gets one like it: pictures are then drawn with its own
    settings, not the user's, and no home is needed.
    """
    if jax.__version_info__ < (0, 11):
        os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
        make = mlir.make_ir_context  # JAX calls it by its name in the module it stands in
        make.__globals__[make.__name__] = functools.cache(make)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = _folder_of_this_run(config, "compiled")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        jax.config.update("jax_compilation_cache_dir", folder)  # which has read the environment already
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # for the processes that tests start
    jax.config.update("jax_traceback_in_locations_limit", 0)
    if not hasattr(config, "workerinput"):  # the workers of xdist inherit it
        os.environ["MPLCONFIGDIR"] = _folder_of_this_run(config, "matplotlib")


def pytest_collection_finish(session):
    """What was imported and collected stays to the end: no collection of garbage need go through it again. And of what
    a trace makes, little is garbage in cycles: to look for it less often saves a fiftieth of the time."""
    del session
    gc.freeze()
    gc.set_threshold(10_000)


def _folder_of_this_run(config, name):
    folder = tempfile.TemporaryDirectory(prefix=f"convnet-{name}-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    return folder.name


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def x64():
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield
