"""One of the processes that make training steps together for `python -m benchmarks parallel`, and their programs.

    python -m benchmarks.parallel_worker FOLDER

Questions lie in FOLDER as 0.json, 1.json, …, which all processes of a crew read; process p leaves its answer to i there
as i-p.json. That needs no channel between the processes but the one that is measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.messages import decode
from benchmarks.parallel import ALONE, SUM, Question, sums_in

SUMS = 8
"""All-reduces in a program of nothing else."""


def worker(folder: Path) -> None:
    settings = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    import jax

    if settings["devices"] > 1:
        jax.config.update("jax_num_cpu_devices", settings["devices"])
    from convnet.allocator import keep_memory

    keep_memory()  # as in training
    process, number, programs = jax.process_index(), 0, {}
    while (question := awaited(folder / f"{number}.json", settings["asker"]))["do"] != "end":
        try:
            answer = answered(question, settings, programs)
        except Exception as error:  # the others go on without it
            answer = {"gap": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}
        write(folder / f"{number}-{process}.json", answer)
        number += 1


def awaited(path: Path, asker: int) -> dict[str, Any]:
    """The question in `path`, once it is there; the end where the process that asks has ended."""
    while not path.exists():
        try:
            os.kill(asker, 0)  # sends nothing: is it there?
        except ProcessLookupError:
            return {"do": "end"}
        time.sleep(0.002)
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, content: Any) -> None:
    """Whole or not at all."""
    path.with_suffix(".part").write_text(json.dumps(content), encoding="utf-8")
    path.with_suffix(".part").rename(path)


def answered(question: dict[str, Any], settings: dict[str, Any], programs: dict[str, Callable]) -> dict[str, Any]:
    """prepare: builds, compiles and runs a program once. sample: seconds per step, or per sum, and the processors'."""
    name = json.dumps(question["about"], sort_keys=True)
    if question["do"] == "prepare":
        about = Question(**question["about"])
        programs[name], facts = program_of(about, settings)
        if question["run"]:
            programs[name]()
        return facts
    if settings["processes"] > 1:  # which read questions up to 2 ms apart
        if "meeting" not in programs:
            programs["meeting"], _ = program_of(Question(SUM, bytes=4), settings)
        programs["meeting"]()
    start = machine.now()
    for _ in range(question["calls"]):
        programs[name]()
    end = machine.now()
    units = question["calls"] * (SUMS if question["about"]["program"] == SUM else settings["steps"])
    busy = None if start.everybody is None else end.everybody - start.everybody
    return {"seconds": (end.wall - start.wall) / units, "wall": end.wall - start.wall, "own": end.own - start.own,
            "everybody": busy}  # fmt: skip


# --- programs ---------------------------------------------------------------------------------------------------------


def program_of(about: Question, settings: dict[str, Any]) -> tuple[Callable[[], Any], dict[str, Any]]:
    """A call that waits for the result (of steps it gives their infos), and what the compiled program sums up over
    devices.

    settings: processes and devices of each, steps of a program, the encoded network, and the precision it has.
    """
    from convnet.train.programs import compiler_options
    from convnet.train.sharding import Layout

    layout = Layout(batch=settings["processes"] * settings["devices"])
    make = sums if about.program == SUM else partial(steps, alone=about.program == ALONE)
    program, state, rest = make(about, settings, layout)
    with layout.in_use():
        compiled = program.lower(state, *rest).compile(compiler_options())
    return carried(compiled, state, rest), {"sums": sums_in(compiled.as_text())}


def carried(compiled: Callable, state: Any, rest: tuple) -> Callable[[], Any]:
    """A call that takes the state where the last one has left it, as training does."""
    import jax

    def call() -> Any:
        nonlocal state
        state, beside = jax.block_until_ready(compiled(state, *rest))
        return beside

    return call


def steps(about: Question, settings: dict[str, Any], layout: Any, *, alone: bool) -> tuple[Any, Any, tuple]:
    """The window of steps that a run is made of (under `jax.jit`), its state, and its images and labels."""
    import jax
    import optax
    from jax.sharding import NamedSharding

    from benchmarks.networks import CLASSES, LEARNING_RATE, MOMENTUM, synthetic_data
    from benchmarks.peers.jax_steps import pixels, start
    from convnet import HAND, models, train
    from convnet.train.feeding import make_window
    from convnet.train.sharding import put

    network, k = decode(settings["network"]), settings["steps"]
    model = models.build(network.architecture, num_classes=CLASSES, ops=HAND, precision=settings["precision"])
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    step = train.make_train_step(model, optimizer, HAND.softmax_cross_entropy, pixels)
    state = jax.jit(partial(train.init_state, model, optimizer, image_shape=network.image_shape))(jax.random.key(0))
    state = replace(state, params=start(network))
    images, labels = synthetic_data(network, k * about.batch)
    batches = images.reshape(k, about.batch, *network.image_shape), labels.reshape(k, about.batch)
    share = layout.share(about.batch)
    batches = layout.window(tuple(array[:, share] for array in batches))
    if not alone:
        window = layout.jit(make_window(step, layout.divided), own=1, windows=2, donate_argnums=0)
        state = layout.place(state)
    else:
        window = jax.jit(each(make_window(step, lambda batch: batch), layout), donate_argnums=0)
        state = jax.tree.map(lambda x: jax.numpy.stack([x] * layout.batch), state)
        state = put(state, NamedSharding(layout.mesh, jax.P("batch")))
    return window, state, batches


def each(window: Callable, layout: Any) -> Callable:
    """`window` on every device with a state of its own, [devices, …]: nothing is summed up over them."""
    import jax

    def own(state: Any, images: Any, labels: Any):
        found = window(jax.tree.map(lambda x: x[0], state), images, labels)
        return jax.tree.map(lambda x: x[None], found)

    here, shares = jax.P("batch"), jax.P(None, "batch")
    return jax.shard_map(own, mesh=layout.mesh, in_specs=(here, shares, shares), out_specs=here)


def sums(about: Question, settings: dict[str, Any], layout: Any) -> tuple[Any, Any, tuple]:
    """`SUMS` means over the devices, one after the other, of an array of so many bytes on each."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding

    from convnet.train.sharding import put

    def mean(x: Any, _: Any):
        return jax.lax.pcast(jax.lax.pmean(x, "batch"), "batch", to="varying"), None

    def again(x: Any):
        return jax.lax.scan(mean, x, length=SUMS)

    x = np.ones((layout.batch, max(about.bytes // 4, 1)), np.float32)
    here = jax.P("batch")
    divided = jax.shard_map(again, mesh=layout.mesh, in_specs=here, out_specs=(here, None))
    return jax.jit(divided, donate_argnums=0), put(x, NamedSharding(layout.mesh, here)), ()


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
