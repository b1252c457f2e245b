"""Training steps in torch: modules, SGD, eager or compiled, in either memory layout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import machine, networks
from benchmarks.cases import GemmTask, OpTask
from benchmarks.messages import Task
from benchmarks.networks import LEARNING_RATE, MOMENTUM, Network, StepTask, initial_parameters, synthetic_data
from benchmarks.peers.program import Loaded, Program, Unsupported
from benchmarks.peers.torch_ops import gemm_program, op_program, precisely, synchronize

FORMATS = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format, "compiled": torch.channels_last}


class Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


def build_module(network: Network) -> nn.Module:
    """The network of the table over float images [N, C, H, W], with the table's initial parameters."""
    found: dict[str, nn.Module] = {}
    module = _sequence(network.layers, network.image_shape, "layer", found)
    flattened = _flattened(network)
    for name, own in initial_parameters(network).items():
        target, kernel = found[name], own.get("kernel", own.get("scale"))
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        elif kernel.ndim == 2:
            if name in flattened:  # torch flattens channels first
                kernel = kernel.reshape(*flattened[name], -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            kernel = kernel.T
        with torch.no_grad():
            target.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
            if target.bias is not None:
                target.bias.copy_(torch.from_numpy(own["bias"]))
    return module


def _sequence(layers, shape, prefix: str, found: dict[str, nn.Module]) -> nn.Module:
    """`found` receives each layer under its name."""
    modules = []
    for i, layer in enumerate(layers):
        name = f"{prefix}_{i}"
        if isinstance(layer, networks.Residual):
            body = _sequence(layer.body, shape, f"{name}_body", found)
            modules.append(Residual(body, _sequence(layer.shortcut, shape, f"{name}_shortcut", found)))
        else:
            found[name] = _module(layer, shape)
            modules.append(found[name])
        shape = networks.output_shape(layer, shape)
    return nn.Sequential(*modules)


def _module(layer: networks.Layer, shape: networks.Shape) -> nn.Module:
    match layer:
        case networks.Conv(features=features, kernel=kernel, stride=stride, bias=bias):
            return nn.Conv2d(shape[-1], features, kernel, stride, padding=kernel // 2, bias=bias)
        case networks.Norm():
            return nn.BatchNorm2d(shape[-1])
        case networks.Relu():
            return nn.ReLU()
        case networks.Pool(window=window):
            return nn.MaxPool2d(window)
        case networks.GlobalAverage():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case networks.Flatten():
            return nn.Flatten()
        case networks.Dense(features=features):
            return nn.Linear(shape[-1], features)
    raise Unsupported(f"{type(layer).__name__} is not written in torch")


def _flattened(network: Network) -> dict[str, networks.Shape]:
    """Name of each dense layer that reads flattened images -> their [H, W, C]."""
    found, before = {}, None
    for name, layer, shape in networks.walk(network.layers, network.image_shape):
        if isinstance(layer, networks.Flatten):
            before = shape
        elif isinstance(layer, networks.Dense) and before is not None:
            found[name], before = before, None
    return found


def step_program(task: StepTask, layout: str, device: str) -> Program:
    module = build_module(task.network).to(device, memory_format=FORMATS[layout]).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    images, labels = (torch.from_numpy(array).to(device) for array in synthetic_data(task.network, task.batch))
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=FORMATS[layout])
    labels = labels.long()

    def objective(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=task.precision == "bfloat16"):
            logits = module(images.float() / 255)
        return functional.cross_entropy(logits.float(), labels)

    if layout == "compiled":
        objective = torch.compile(objective)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = objective(images, labels)
        loss.backward()
        optimizer.step()
        return loss

    def device_bytes() -> int | None:
        if device != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats()
        step()
        synchronize()
        return torch.cuda.max_memory_allocated()

    return Program(_caller(step), device_bytes=device_bytes)


def _caller(step: Callable[[], torch.Tensor]) -> Callable[[int], float]:
    def run(calls: int) -> float:
        for _ in range(calls):
            loss = step()
        synchronize()
        return float(loss.detach())

    return run


def load(layout: str) -> Loaded:
    """layout: channels_last, nchw (both eager) or compiled (channels last)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True  # XLA, too, tries a device's algorithms before it takes one

    def build(task: Task) -> Program:
        if isinstance(task, GemmTask):
            return gemm_program(task, device)
        if isinstance(task, OpTask):
            if layout == "compiled":
                raise Unsupported("torch.compile calls the same kernels as eager torch")
            return op_program(task, FORMATS[layout], device)
        return precisely(task.precision, step_program(task, layout, device))

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return Loaded(
        build, device=name, memory=torch.cuda.max_memory_allocated if device == "cuda" else machine.peak_bytes
    )
