"""convnet: a laboratory for convolutional networks in JAX.

Three acts, and the packages follow them: derive (`convnet.ops`), prove (`convnet.gradcheck`), and use
(`convnet.models`, `convnet.train`, `convnet.analysis`). `convnet.load(run)` is the network that a run has trained.

Importing this package loads JAX and the ops only; Flax, TensorFlow Datasets and Matplotlib load where they are used.
"""

from importlib import import_module
from typing import Any

from convnet.ops import AUTO, HAND, OpSet

__all__ = ["AUTO", "HAND", "OpSet", "__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":  # when it is asked for: it brings models, and those Flax
        return import_module("convnet.trained").load
    raise AttributeError(f"module 'convnet' has no attribute {name!r}")
