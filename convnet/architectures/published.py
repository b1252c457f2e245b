"""What others say of the published networks: numbers of parameters, arithmetic, receptive fields, and who counted."""

from __future__ import annotations

from dataclasses import dataclass

from convnet.architectures import shapes
from convnet.architectures.base import Architecture
from convnet.architectures.classics import VGG, AlexNet, LeNet5, ZFNet
from convnet.architectures.resnet import ResNet


@dataclass(frozen=True)
class Published:
    """A network on the images that it was made for, and what others say of it; None: nobody says.

    parameters: as counted by the `source`. billions: thousand millions of multiply-adds of a forward pass, as
    torchvision's table of weights has them. field: the receptive field of the last pooling, in pixels, of Araujo et al.
    (Distill 2019).
    """

    architecture: Architecture
    image_shape: tuple[int, int, int]
    classes: int
    parameters: int | None
    source: str
    billions: float | None = None
    field: int | None = None

    @property
    def counted(self) -> int:
        return shapes.count_parameters(self._layers, self.image_shape)

    @property
    def multiply_adds(self) -> int:
        """Of one image's forward pass."""
        return sum(map(shapes.multiply_adds, shapes.walk(self._layers, self.image_shape)))

    @property
    def agrees(self) -> bool:
        return self.parameters in (None, self.counted)

    @property
    def _layers(self):
        return self.architecture.layers(self.image_shape, self.classes)


IMAGENET = ((224, 224, 3), 1000)
TORCHVISION = "torchvision's table of weights (`num_params` of"
PUBLISHED: dict[str, Published] = {
    "lenet5": Published(
        LeNet5(), (32, 32, 1), 10, 61_706,
        "156 + 2,416 + 48,120 + 10,164 + 850 by hand, as this variant is usually counted: the second convolution sees "
        "all maps, pooling has no weights, the last layer is dense. LeCun et al. (1998) count 60,000, with a table of "
        "connections, weighted pooling and radial basis functions.",
    ),
    "alexnet": Published(
        AlexNet(groups=2), *IMAGENET, 60_965_224,
        "HPE's Deep Learning Cookbook (HewlettPackard/dlcookbook-dlbs, table of models), of Caffe's AlexNet; "
        "Krizhevsky et al. (2012) say 60 million.",
        field=195,
    ),
    "alexnet, one group": Published(
        AlexNet(groups=1), *IMAGENET, 62_378_344,
        "Mallick, Number of Parameters and Tensor Sizes in a Convolutional Neural Network (learnopencv.com, 2018).",
        field=195,
    ),
    "zfnet": Published(ZFNet(), *IMAGENET, None, "Zeiler & Fergus (2014) give no number."),
    "vgg11": Published(VGG("vgg11"), *IMAGENET, 132_863_336, f"{TORCHVISION} `VGG11_Weights`).", 7.609),
    "vgg16": Published(VGG("vgg16"), *IMAGENET, 138_357_544, f"{TORCHVISION} `VGG16_Weights`).", 15.47, 212),
    "resnet8": Published(
        ResNet("resnet8"), (32, 32, 3), 10, None,
        "He et al. (2016) have 20 layers and more in this family, with other shortcuts (option A).",
    ),
    "resnet18": Published(ResNet("resnet18"), *IMAGENET, 11_689_512, f"{TORCHVISION} `ResNet18_Weights`).", 1.814),
    "resnet34": Published(ResNet("resnet34"), *IMAGENET, 21_797_672, f"{TORCHVISION} `ResNet34_Weights`).", 3.664),
}  # fmt: skip
