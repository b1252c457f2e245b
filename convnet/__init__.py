"""convnet: a laboratory for convolutional networks in JAX.

Three acts, and the packages follow them: derive (`convnet.ops`), prove (`convnet.gradcheck`), and use
(`convnet.models`, `convnet.train`, `convnet.analysis`).

Importing this package loads JAX and the ops only; Flax, TensorFlow Datasets and Matplotlib load where they are used.
"""

from convnet.ops import AUTO, HAND, OpSet

__all__ = ["AUTO", "HAND", "OpSet", "__version__"]
__version__ = "0.1.0"
