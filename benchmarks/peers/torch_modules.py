"""Training steps in torch: modules, SGD, eager or compiled, in either memory layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import machine
from benchmarks.cases import GemmTask, OpTask
from benchmarks.messages import Task
from benchmarks.networks import LEARNING_RATE, MOMENTUM, Network, StepTask, initial_parameters, synthetic_data
from benchmarks.peers.program import Loaded, Program, Unsupported
from benchmarks.peers.torch_ops import gemm_program, op_program, precisely, synchronize
from benchmarks.peers.vocabulary import spans, unwritten
from convnet.architectures import layers, shapes

FORMATS = {"channels_last": torch.channels_last, "nchw": torch.contiguous_format, "compiled": torch.channels_last}
FUNCTIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module, function: nn.Module):
        super().__init__()
        self.body, self.shortcut, self.function = body, shortcut, function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.body(x) + self.shortcut(x))


def build_module(network: Network) -> nn.Module:
    """The network over float images [N, C, H, W], with its initial parameters. Raises Unsupported for a layer that is
    not written here."""
    found = [(placed, _written(placed)) for placed in network.placed]
    parameters, image = initial_parameters(network), ()
    for placed, modules in found:
        if isinstance(placed.layer, layers.Flatten):
            image = placed.input
        if own := parameters.get(placed.name):
            _set(modules[-1], own, image)
        if isinstance(placed.layer, layers.Dense):
            image = ()
    return _sequence(network.layers, (modules for _, modules in found))


def _set(module: nn.Module, own: dict[str, np.ndarray], image: shapes.Shape) -> None:
    """image: [H, W, C] where what the module reads was flattened; torch flattens channels first."""
    weight = own.get("kernel", own.get("scale"))
    if weight is None:  # a normalisation without
        weight = np.ones_like(own["bias"])
    if weight.ndim == 4:
        weight = weight.transpose(3, 2, 0, 1)
    elif len(image) == 3:
        weight = weight.reshape(*image, -1).transpose(2, 0, 1, 3).reshape(weight.shape)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight.T if weight.ndim == 2 else weight)))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(own["bias"]))


def _sequence(body: Sequence[layers.Layer], leaves: Iterator[tuple[nn.Module, ...]]) -> nn.Module:
    """`leaves` are the modules of the layers, in the order of `shapes.walk`."""
    modules = []
    for layer in body:
        match layer:
            case layers.Block():
                modules.append(_sequence(layer.layers, leaves))
            case layers.Residual(function=function) if function in FUNCTIONS:
                both = [_sequence(part, leaves) for part in (layer.body, layer.shortcut)]
                modules.append(Residual(*both, FUNCTIONS[function]()))
            case layers.Residual():
                raise unwritten(layer, "torch")
            case _:
                modules += next(leaves)
    return nn.Sequential(*modules)


def _written(placed: shapes.Placed) -> tuple[nn.Module, ...]:
    """One after the other; parameters are those of the last."""
    layer, shape = placed.layer, placed.input
    match layer:
        case layers.Conv(features=features, groups=groups, bias=bias, frozen=False):
            kernel, stride, dilation, padding = spans(layer, shape)
            before, padding = _padding(padding, 0.0)
            return *before, nn.Conv2d(shape[-1], features, kernel, stride, padding, dilation, groups, bias)
        case layers.Dense(features=features, bias=bias):
            return (nn.Linear(*shape, features, bias),)
        case layers.BatchNorm(momentum=momentum, use_scale=use_scale):
            norm = (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[-1], momentum=1 - momentum)
            norm.weight.requires_grad_(use_scale)
            return (norm,)
        case layers.Activation(function=function) if function in FUNCTIONS:
            return (FUNCTIONS[function](),)
        case layers.Pool(kind=kind):
            kernel, stride, _, padding = spans(layer, shape)
            before, padding = _padding(padding, -torch.inf if kind == "max" else 0.0)
            return *before, (nn.MaxPool2d if kind == "max" else nn.AvgPool2d)(kernel, stride, padding)
        case layers.GlobalAvgPool():
            return nn.AdaptiveAvgPool2d(1), nn.Flatten()
        case layers.Flatten():
            return (nn.Flatten(),)
        case layers.Dropout(rate=0):
            return ()
    raise unwritten(layer, "torch")


def _padding(padding: tuple[tuple[int, int], tuple[int, int]], value: float):
    """What goes before a layer, and the layer's own padding, which torch has the same on both sides."""
    rows, cols = padding
    if rows[0] == rows[1] and cols[0] == cols[1]:
        return (), (rows[0], cols[0])
    return (nn.ConstantPad2d((*cols, *rows), value),), 0


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
