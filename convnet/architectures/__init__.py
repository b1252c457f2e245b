"""Networks as plain data: a model's settings are a class, and its layers a table that follows from them.

One vocabulary (`layers`), one table per model, many readers: the builder of Flax modules (`convnet.models`), the
back-propagation by hand, the benchmarks' peers, whoever counts or draws. Nothing here needs Flax.
"""

from convnet.architectures.airbench import Airbench
from convnet.architectures.base import Architecture, Own, Table
from convnet.architectures.classics import VGG, AlexNet, LeNet5, ZFNet
from convnet.architectures.compared import CNN, MLP, Linear
from convnet.architectures.resnet import ResNet
from convnet.settings import names

ModelConfig = Linear | MLP | CNN | LeNet5 | AlexNet | ZFNet | VGG | ResNet | Airbench | Own
"""What `RunConfig.model` may be; its name says which."""

MODELS: dict[str, type[Architecture]] = {
    name: kind for kind in (Linear, MLP, CNN, LeNet5, AlexNet, ZFNet, VGG, ResNet, Airbench) for name in names(kind)
}

__all__ = [
    "CNN",
    "MLP",
    "MODELS",
    "VGG",
    "Airbench",
    "AlexNet",
    "Architecture",
    "LeNet5",
    "Linear",
    "ModelConfig",
    "Own",
    "ResNet",
    "Table",
    "ZFNet",
]
