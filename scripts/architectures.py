"""Are the networks those that were published, and what does a training step of them cost? Writes docs/architectures.md.

python -m scripts.architectures                       every network; four minutes, and up to 3 GiB of memory
python -m scripts.architectures --only vgg16          one network; nothing is written
python -m scripts.architectures --no-steps            only what is counted, in a second; nothing is written
python -m scripts.architectures --quick               narrow networks on small images: a check that everything runs

Exit code 1 where a number of parameters is not the published one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp

from benchmarks import machine
from convnet import models
from convnet.allocator import keep_memory
from convnet.architectures.published import PUBLISHED, Published
from convnet.cli import run_command
from convnet.identity import environment
from convnet.ops import HAND
from convnet.progress import progress
from convnet.record import write_atomically
from convnet.settings import require

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architectures.md"
CALLS = 3
"""Steps that are timed."""
LEGIBLE = 0.1
"""Seconds in which the system's count of what others do means something."""
QUICK_WIDTH, QUICK_SIDE = 1 / 16, 64


@dataclass(frozen=True)
class Architectures:
    """Count the parameters of the published networks, and time a forward and backward pass of each."""

    only: tuple[str, ...] = ()
    """Networks. Default: all."""
    batch: int = 2
    """Images of a step."""
    steps: bool = True
    """Whether steps are measured."""
    quick: bool = False
    """Narrow networks on small images, whose numbers mean nothing."""


# --- steps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A forward and backward pass: median seconds of a call, seconds of compilation, the most memory that the process
    took, and the processors that others kept busy meanwhile (None: not known)."""

    seconds: float
    compile_seconds: float
    peak_bytes: int
    foreign_cores: float | None


def measured(entry: Published, batch: int) -> Step:
    """`measure` in a process of its own. Raises MemoryError where that dies."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(measure, entry, batch).result()
    except BrokenProcessPool:
        raise MemoryError(f"the process of {entry.architecture.name} has died: it may want more memory") from None


def measure(entry: Published, batch: int) -> Step:
    keep_memory()  # as in training
    model = models.build(entry.architecture, num_classes=entry.classes)
    images = jax.random.uniform(jax.random.key(0), (batch, *entry.image_shape))
    labels = jnp.arange(batch) % entry.classes
    variables = jax.jit(model.init)(jax.random.key(1), images)

    def loss(params, others, images, labels):
        settings = dict(train=True, rngs={"dropout": jax.random.key(2)}, mutable=["batch_stats"])
        logits, changed = model.apply({"params": params, **others}, images, **settings)
        return jnp.mean(HAND.softmax_cross_entropy(logits, labels)), changed

    arguments = (variables.pop("params"), variables, images, labels)
    start = time.perf_counter()
    step = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    jax.block_until_ready(step(*arguments))
    moments = [machine.now()]
    for _ in range(CALLS):
        jax.block_until_ready(step(*arguments))
        moments.append(machine.now())
    seconds = median(end.wall - start.wall for start, end in pairwise(moments))
    first, last = moments[0], moments[-1]
    foreign = machine.foreign_cores(first, last) if last.wall - first.wall >= LEGIBLE else None
    return Step(seconds, compile_seconds, machine.peak_bytes(), foreign)


# --- the page ---------------------------------------------------------------------------------------------------------

INTRODUCTION = """# The published networks

Written by `python -m scripts.architectures`. Parameters and multiply-adds are counted from the table of layers
(`convnet.architectures`), on the images that the network was made for; nothing is computed for them.

- **published**: what the source below says of the same variant; ✗ where it is not what is counted.
- **multiply-adds**: of one image's forward pass through convolutions and dense layers, padding included.
- **step**: forward and backward pass of {batch} images in float32, with the gradients by hand, as in training (dropout,
  statistics of the batch) but without an optimiser: median of {calls} calls after a first one. **compile** is apart,
  tracing included.
- **others' cores**: how many processors other programs kept busy meanwhile: the more, the less a step's time means (—:
  too short to tell).
- **memory**: the most that the process took, which measured this network alone: Python, JAX and the compiler included.
"""


def table(entries: Mapping[str, Published], steps: Mapping[str, Step]) -> str:
    head = ["network", "image", "classes", "parameters", "published", "multiply-adds"]
    head += ["step s", "others' cores", "compile s", "memory MiB"] if steps else []
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for name, entry in entries.items():
        published = "none" if entry.parameters is None else f"{entry.parameters:,}{'' if entry.agrees else ' ✗'}"
        image = "×".join(map(str, entry.image_shape))
        row = [name, image, f"{entry.classes:,}", f"{entry.counted:,}", published, f"{entry.multiply_adds:,}"]
        if step := steps.get(name):
            others = "—" if step.foreign_cores is None else f"{step.foreign_cores:.1f}"
            memory = f"{step.peak_bytes / 2**20:,.0f}"
            row += [f"{step.seconds:.3g}", others, f"{step.compile_seconds:.1f}", memory]
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def circumstances(seconds: float) -> str:
    where = environment()
    return (
        f"`python -m scripts.architectures`: {where['device']}, {where['cpus']} CPU cores; "
        f"JAX {where['packages']['jax']}, Python {where['python']}; {where['started'][:10]}; {seconds:.0f} s."
    )


def sources(entries: Mapping[str, Published]) -> str:
    return "\n".join(["Sources of the published numbers:", "", *(f"- {n}: {e.source}" for n, e in entries.items())])


def quick(entry: Published) -> Published:
    """A narrow network on small images, of which nothing is published."""
    own, (height, width, channels) = entry.architecture, entry.image_shape
    narrow = replace(own, width=QUICK_WIDTH) if hasattr(own, "width") else own
    side = min(height, width, QUICK_SIDE)
    return replace(entry, architecture=narrow, image_shape=(side, side, channels), parameters=None)


def survey(settings: Architectures) -> int:
    for name in settings.only:
        require(name in PUBLISHED, "only", name, f"one of {', '.join(PUBLISHED)}")
    require(settings.batch >= 1, "batch", settings.batch, "1 or more")
    entries = {name: PUBLISHED[name] for name in settings.only or PUBLISHED}
    if settings.quick:
        entries = {name: quick(entry) for name, entry in entries.items()}
    steps, start = {}, time.perf_counter()
    if settings.steps:
        with progress(len(entries), "network") as bar:
            for name, entry in entries.items():
                steps[name] = measured(entry, settings.batch)
                bar.update()
    introduction = INTRODUCTION.format(batch=settings.batch, calls=CALLS)
    parts = [table(entries, steps), circumstances(time.perf_counter() - start), sources(entries)]
    print("\n\n".join(parts[:2]))
    if settings.steps and not (settings.only or settings.quick):
        write_atomically(PAGE, "\n".join([introduction, "\n\n".join(parts), ""]))
    return int(not all(entry.agrees for entry in entries.values()))


if __name__ == "__main__":
    sys.exit(run_command(Architectures, survey))
