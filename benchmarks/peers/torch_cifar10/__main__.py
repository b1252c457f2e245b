"""`python -m benchmarks.peers.torch_cifar10 DATA.npz '{"epochs": 8}'` runs the recipe for the seeds on its stdin.

DATA.npz has train_images, train_labels, test_images and test_labels; the second argument has settings. Questions and
answers are those of `benchmarks.serve_runs`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers.torch_cifar10.settings import Settings
from benchmarks.serve import versions
from benchmarks.serve_runs import parsed, serve_runs
from convnet.settings import from_dict
from convnet.threads import processors

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def build(data: str, settings: str = "{}") -> tuple[Any, dict[str, Any]]:
    """The peer, and what it says of itself. Raises ModuleNotFoundError where torch is not installed."""
    chosen = from_dict(Settings, parsed(settings, "the second argument", "JSON"))
    import torch

    from benchmarks.peers.torch_cifar10.peer import Peer

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or processors()))
    with np.load(data) as arrays:
        peer = Peer(chosen, *(arrays[name] for name in ARRAYS))
    return peer, {
        "versions": versions(),
        "device": torch.cuda.get_device_name() if chosen.device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "settings": asdict(peer.settings),
    }


if __name__ == "__main__":
    serve_runs(partial(build, *sys.argv[1:]))
