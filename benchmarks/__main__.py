"""The commands of the benchmarks, from the root of the checkout: `python -m benchmarks` lists them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from convnet.settings import suggestion

COMMANDS = {
    "ops": ("benchmarks.commands.ops", "each op, forward and backward, beside autodiff and torch"),
    "formulations": ("benchmarks.commands.formulations", "every formulation of a convolution, and its rounding error"),
    "train": ("benchmarks.commands.train", "whole training steps beside autodiff, Flax, Keras and torch"),
    "scaling": ("benchmarks.commands.scaling", "a training step while batch, channels, side, depth or replicates grow"),
    "attribution": ("benchmarks.commands.attribution", "integrated gradients and occlusion beside captum"),
    "replicates": ("benchmarks.commands.replicates", "many seeds of one config beside as many single runs"),
    "units": ("benchmarks.commands.units", "images that excite many units, in one program and one by one"),
    "parallel": (
        "benchmarks.commands.parallel",
        "a training step of 1 to 8 devices and 1 to 4 processes, and its sums",
    ),
    "streaming": ("benchmarks.commands.streaming", "epochs of images that are read beside those in memory"),
    "memory": ("benchmarks.commands.memory", "a run's memory while its data grow eightfold"),
    "race": ("benchmarks.commands.race", "CIFAR-10 to 94 %: whole trainings beside the same recipe in PyTorch"),
    "scale": (
        "benchmarks.commands.scale",
        "docs/scale.md again, from what the last three measured, and a model of a step",
    ),
    "tables": ("benchmarks.commands.tables", "the page and its figures again, from the results that are there"),
    "device": ("benchmarks.device.__main__", "one check of a machine's accelerators, within eight minutes"),
}
"""Name -> module with `main(args)`, imported when it is asked for, and what it measures."""


def overview() -> str:
    lines = [f"  {name:<14}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        ["usage: python -m benchmarks NAME …", "", *lines, "", "NAME --help explains the options of each."]
    )


def main(args: Sequence[str] | None = None) -> int:
    name, *rest = (sys.argv[1:] if args is None else args) or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name not in COMMANDS:
        print(f"error: unknown benchmark {name!r}: {suggestion(name, COMMANDS)}", file=sys.stderr)
        return 2
    sys.argv = [f"python -m benchmarks {name}", *rest]  # what the help and the results call it
    return import_module(COMMANDS[name][0]).main(rest)


if __name__ == "__main__":
    sys.exit(main())
