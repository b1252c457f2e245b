"""What a run is: all that decides its bits. Two runs are the same run only if all of it is equal.

A manifest holds it as plain JSON values. WHAT makes one run and not another: nobody can go on with the one as the
other. HOW it was computed may change under a run (a new version of JAX, another machine), and then its bits do.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from convnet.code import code_hash
from convnet.settings import differences
from convnet.threads import threads

WHAT = ("config", "data", "computes")
"""config: all settings. data: name and digest of the images. computes: the model and the ops by name."""
HOW = (
    "programs", "compiler", "mesh", "replicates", "traced", "packages", "python", "device", "runtime", "processor",
    "devices", "threads", "jax", "flags", "code",
)  # fmt: skip
"""programs: digests of what was compiled, which see an edited model, op, loss or optimiser of the user's. compiler:
what it was told of products, and of equal bits at every run. mesh: devices that compute together (None: one alone).
replicates: how many runs train in one program (0: this one alone). traced: settings that are its inputs. code: digest
of the library's sources that decide bits (the commit does not). The others tell where it ran."""
DISTRIBUTION = "convnet-lab"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "scipy")
ACCELERATED = re.compile(r"(jax-(cuda|rocm).*|libtpu.*|nvidia-(cudnn|cublas|cuda-nvcc|cuda-runtime|nccl)-cu\d+)")
"""Packages below JAX where it computes on an accelerator."""
FLAGS = (
    "XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG", "TF_CUDNN_DETERMINISTIC",
    "TF_XLA_FLAGS",
)  # fmt: skip
"""Variables that compilers and libraries below JAX read."""
SETTINGS = (
    "jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl", "jax_threefry_partitionable",
    "jax_threefry_gpu_kernel_lowering", "jax_random_seed_offset", "jax_high_dynamic_range_gumbel",
    "jax_numpy_dtype_promotion", "jax_default_dtype_bits", "jax_softmax_custom_jvp", "jax_disable_jit",
    "jax_disable_most_optimizations", "jax_optimization_level", "jax_exec_time_optimization_effort",
    "jax_memory_fitting_effort", "jax_memory_fitting_level", "jax_xla_backend", "jax_use_direct_linalg",
)  # fmt: skip
"""JAX's own that change numbers; a version of JAX without one of them records the others."""
_ONE_AT_A_TIME = threading.Lock()
CPUINFO = Path("/proc/cpuinfo")
"""Where Linux tells of its processors."""
INSTRUCTIONS = re.compile(r"s?sse|avx|fma|f16c|amx|bmi|neon|asimd|sve|sme\d*$|bf16|i8mm|vfp|rv", re.IGNORECASE)
"""Processor flags that compilers choose kernels by."""


def environment() -> dict[str, Any]:
    """Where a run takes place: what decides its bits, and what a reader may want to know besides."""
    return {
        "started": now(),
        "command": shlex.join(sys.argv),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "backend": jax.default_backend(),
        "git": _git_state(),
        **decisive(),
    }


def decisive() -> dict[str, Any]:
    """What HOW has of the environment."""
    on_cpu = jax.default_backend() == "cpu"
    return {
        "device": _device(),
        "runtime": jax.devices()[0].client.platform_version,
        "processor": _processor() if on_cpu else None,
        "devices": jax.device_count(),
        "threads": threads() if on_cpu else None,
        **versions(),
    }


def versions() -> dict[str, Any]:
    """What of it does not depend on the machine."""
    return {
        "python": platform.python_version(),
        "packages": _packages(jax.default_backend() == "cpu"),
        "jax": _settings(),
        "flags": {name: os.environ[name] for name in FLAGS if os.environ.get(name)},
        "code": _own_code(),
    }


def another_run(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Where two runs are not the same one: dotted name -> [then, now]. Both are manifests, or parts of one."""
    return _differing(WHAT, then, now)


def other_bits(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What of the way to compute is no longer as it was: dotted name -> [then, now]."""
    return _differing(HOW, then, now)


def describe(changes: Mapping[str, list[Any]]) -> str:
    """The same as text: "threads (2 then, 1 now), packages.jax ('0.10.1' then, '0.10.2' now)"."""
    return ", ".join(f"{name} ({then!r} then, {now!r} now)" for name, (then, now) in changes.items())


def advice(changes: Mapping[str, list[Any]]) -> str:
    """How to get the old bits all the same, where that is easy."""
    then = changes.get("threads", [None])[0]
    return f"; PJRT_NPROC={then} gives the threads of then" if then is not None else ""


def qualified_name(thing: Any) -> str:
    """Where a class or function was defined, as far as it tells."""
    if isinstance(thing, partial):
        return qualified_name(thing.func)
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", type(thing).__qualname__)
    return f"{getattr(thing, '__module__', '?')}.{name}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _differing(names: tuple[str, ...], then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    pair = ({name: facts.get(name) for name in names} for facts in (then, now))
    return {name: list(values) for name, values in differences(*pair).items()}


def _settings() -> dict[str, Any]:
    known = jax.config.values
    # An attribute is what holds here and now, as a `with` may have set it; some settings are none.
    found = {name: getattr(jax.config, name, known[name]) for name in SETTINGS if name in known}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _packages(on_cpu: bool) -> dict[str, str | None]:
    found = {"convnet": _version(DISTRIBUTION), **{name: _version(name) for name in PACKAGES}}
    if not on_cpu:
        names = sorted({distribution.name or "" for distribution in metadata.distributions()})
        found |= {name: _version(name) for name in names if ACCELERATED.fullmatch(name)}
    return found


@cache
def _version(package: str) -> str | None:
    """As it was when first asked: what is installed later is not what this process has loaded."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device() -> str:
    """The accelerator's name, or the processor's where there is none and the system tells."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() != "cpu":
        return kind
    return _cpuinfo().get("model name") or platform.processor() or platform.machine() or kind


def _processor() -> dict[str, Any]:
    """What kernels are chosen and products are divided by: a name such as "AMD EPYC" covers ten years of processors."""
    info = _cpuinfo()
    flags = (info.get("flags") or info.get("Features") or info.get("isa") or "").split()
    names = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")
    return {
        "machine": platform.machine(),
        **{name: info[name] for name in names if name in info},
        "instructions": " ".join(sorted(flag for flag in flags if INSTRUCTIONS.match(flag))),
        "caches": _caches(),
    }


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries; empty where the system does not tell."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _caches() -> str:
    """Sizes of the first processor's caches, such as "32K 32K 512K 32768K": matrix products are cut to fit them."""
    found = []
    for path in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")):
        try:
            found.append(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            continue
    return " ".join(found)


def _own_code() -> str:
    """Of the library, as it was when first asked: what is edited later is not what this process has loaded.

    In one thread at a time: Python 3.11 cannot parse in two (it raises SystemError).
    """
    with _ONE_AT_A_TIME:
        return _first_code_hash()


@cache
def _first_code_hash() -> str:
    return code_hash(Path(__file__).resolve().parent)


def _git_state() -> dict[str, Any] | None:
    """Commit of the source tree and whether it was changed since; None where the code is not in a checkout."""
    here = Path(__file__).resolve().parent

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here), *args], capture_output=True, encoding="utf-8", errors="replace", check=True
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != here.parent:
            return None  # an installed copy that happens to lie inside somebody's repository
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
