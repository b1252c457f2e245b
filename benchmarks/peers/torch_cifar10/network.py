"""The network, and the weights that it starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, CLASSES, PATCH = 3, 10, 2
FILTERS = 2 * CHANNELS * PATCH**2


class Group(nn.Module):
    """Two 3×3 convolutions, each with batch norm and GELU, the first with 2×2 max pooling before them."""

    def __init__(self, inputs: int, outputs: int, *, epsilon: float, momentum: float):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(n, outputs, 3, padding=1, bias=False) for n in (inputs, outputs))
        # torch's momentum is the share of the new.
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs, epsilon, 1 - momentum) for _ in self.convs)
        for norm in self.norms:
            norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.convs[0](x), 2)
        x = functional.gelu(self.norms[0](x))
        return functional.gelu(self.norms[1](self.convs[1](x)))


class Network(nn.Module):
    """Over images [N, 3, 32, 32]; the weights of the whitening are not trained."""

    def __init__(self, widths: Sequence[int], *, divisor: float, epsilon: float, momentum: float):
        super().__init__()
        self.whitening = nn.Conv2d(CHANNELS, FILTERS, PATCH)
        self.whitening.weight.requires_grad_(False)
        inputs = (FILTERS, *widths[:-1])
        self.groups = nn.Sequential(
            *(Group(n, m, epsilon=epsilon, momentum=momentum) for n, m in zip(inputs, widths, strict=True))
        )
        self.head = nn.Linear(widths[-1], CLASSES, bias=False)
        self._divisor = divisor

    def forward(self, images: Tensor, bias_trained: bool) -> Tensor:
        """Logits; `bias_trained`: whether the whitening's bias gets a gradient."""
        bias = self.whitening.bias if bias_trained else self.whitening.bias.detach()
        x = functional.gelu(functional.conv2d(images, self.whitening.weight, bias))
        x = functional.max_pool2d(self.groups(x), 3).flatten(1)
        return self.head(x) / self._divisor

    def kernels(self) -> list[Tensor]:
        return [conv.weight for group in self.groups for conv in group.convs]

    def norms(self) -> list[nn.BatchNorm2d]:
        return [norm for group in self.groups for norm in group.norms]

    def in_precision(self, dtype: torch.dtype) -> Network:
        """Its parameters in `dtype` but those of batch norm, and all of them channels last."""
        self.to(dtype=dtype, memory_format=torch.channels_last)
        for norm in self.norms():
            norm.float()
        return self


def whitening_filters(images: Tensor, epsilon: float) -> Tensor:
    """[filters, channels, rows, columns]: patches of the images [N, C, H, W], multiplied by the first half, have the
    identity for their covariance, means not subtracted. The second half is its negative."""
    patches = functional.unfold(images.float(), PATCH)  # [N, C · rows · columns, patches]
    patches = patches.transpose(0, 1).flatten(1)
    values, vectors = torch.linalg.eigh(patches @ patches.T / patches.shape[1])
    half = (vectors / (values + epsilon).sqrt()).T.reshape(-1, CHANNELS, PATCH, PATCH)
    return torch.cat([half, -half])


@torch.no_grad()
def start(network: Network, images: Tensor, generator: torch.Generator, epsilon: float) -> None:
    """Set everything that a network has. images: [N, C, H, W], those whose patches are whitened."""

    def uniform(tensor: Tensor, fan_in: int) -> Tensor:
        bound = 1 / math.sqrt(fan_in)
        return torch.empty(tensor.shape, device=tensor.device).uniform_(-bound, bound, generator=generator)

    network.whitening.weight.copy_(whitening_filters(images, epsilon))
    network.whitening.bias.copy_(uniform(network.whitening.bias, FILTERS // 2))
    for kernel in network.kernels():
        drawn = uniform(kernel, kernel[0].numel())
        nn.init.dirac_(drawn[: kernel.shape[1]])
        kernel.copy_(drawn)
    drawn = uniform(network.head.weight, network.head.in_features)
    network.head.weight.copy_(drawn / drawn.std())
    for norm in network.norms():
        norm.reset_parameters()
