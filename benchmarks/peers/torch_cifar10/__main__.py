"""`python -m benchmarks.peers.torch_cifar10 DATA.npz '{"epochs": 8}'` runs the recipe for the seeds on its stdin.

DATA.npz has train_images, train_labels, test_images and test_labels; the second argument has settings. Questions and
answers are lines of JSON. First come the versions and the device, then {"warm_up_seconds": …}; then, to each
{"seed": n}, what the run took and what came of it. An answer {"gap": …} says why there is none.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peers.torch_cifar10.settings import Settings
from benchmarks.serve import versions
from convnet.settings import from_dict, require
from convnet.threads import processors

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def parsed(text: str, name: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"{name} is {text.strip()!r}: expected {expected}") from None


def build(data: str, settings: str) -> tuple[Any, dict[str, Any]]:
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
        "settings": asdict(chosen),
    }


def warm(peer: Any) -> dict[str, float]:
    before = perf_counter()
    peer.warm_up()
    return {"warm_up_seconds": perf_counter() - before}


def run(peer: Any, line: str) -> dict[str, Any]:
    expected = '{"seed": a number}'
    question = parsed(line, "the question", expected)
    known = isinstance(question, dict) and type(question.get("seed")) is int
    require(known, "the question", line.strip(), expected)
    return peer.run(question["seed"])


def reason(error: Exception) -> str:
    match error:
        case ModuleNotFoundError():
            return f"not installed ({error})"
        case ValueError():
            return str(error)
    return f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def main(data: str, settings: str = "{}") -> None:
    # Libraries may print; only answers go where the parent listens.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def attempt(do: Callable[..., Any], *arguments: Any) -> Any:
        """What `do` returns; None after a gap."""
        try:
            return do(*arguments)
        except Exception as error:
            traceback.print_exc()
            answer({"gap": reason(error)})

    def answer(value: dict[str, Any] | None) -> None:
        if value is not None:
            pipe.write(json.dumps(value) + "\n")

    if (built := attempt(build, data, settings)) is None:
        return
    peer, hello = built
    answer(hello)
    if (warmed := attempt(warm, peer)) is None:
        return
    answer(warmed)
    for line in sys.stdin:
        answer(attempt(run, peer, line))


if __name__ == "__main__":
    main(*sys.argv[1:])
