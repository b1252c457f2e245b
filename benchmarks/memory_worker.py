"""A run in a process of its own, for `python -m benchmarks memory`: prints the most memory that it took.

python -m benchmarks.memory_worker streamed 100000 32
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from benchmarks import machine
from benchmarks.made import made


def worker(way: str, images: int, side: int) -> dict[str, float]:
    """peak_bytes, and idle_bytes before the first image is there; seconds of the whole run."""
    from convnet.allocator import keep_memory
    from convnet.architectures import Linear
    from convnet.config import MeshConfig, RunConfig, TrainConfig
    from convnet.run import Trainer

    keep_memory()  # as in training
    import jax

    jax.block_until_ready(jax.numpy.zeros(1))
    idle, start = machine.peak_bytes(), time.perf_counter()
    config = RunConfig(model=Linear(), train=TrainConfig(epochs=1, batch_size=256))
    Trainer(config, made(images, (side, side, 3), stored=way == "streamed"), mesh=MeshConfig(batch=1)).run()
    return dict(idle_bytes=idle, peak_bytes=machine.peak_bytes(), run_seconds=time.perf_counter() - start)


def main(args: Sequence[str]) -> None:
    way, images, side = args
    print(json.dumps(worker(way, int(images), int(side))))


if __name__ == "__main__":
    main(sys.argv[1:])
