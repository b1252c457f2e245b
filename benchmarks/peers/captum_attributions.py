"""Attributions in captum, of a network in eager torch in either memory layout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import IntegratedGradients, Occlusion

from benchmarks import machine
from benchmarks.attributions import BASELINES, AttributionTask
from benchmarks.cases import GemmTask
from benchmarks.messages import Task
from benchmarks.networks import synthetic_data
from benchmarks.peers.program import Loaded, Program, Unsupported
from benchmarks.peers.torch_modules import FORMATS, build_module
from benchmarks.peers.torch_ops import gemm_program, synchronize


def attribution_program(task: AttributionTask, layout: str, device: str) -> Program:
    """The loss is the mean of the absolute attributions."""
    module = build_module(task.network).to(device, memory_format=FORMATS[layout]).eval().requires_grad_(False)
    images, labels = synthetic_data(task.network, task.images)
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255).to(device)
    settings = dict(
        inputs=pixels.contiguous(memory_format=FORMATS[layout]),
        baselines=BASELINES[task.method],
        target=torch.from_numpy(labels).long().to(device),
    )
    attribute = method_of(task, module, settings)

    def run(calls: int) -> float:
        for _ in range(calls):
            found = attribute()
        synchronize()
        return float(found.detach().abs().mean())

    return Program(run)


def method_of(task: AttributionTask, module: torch.nn.Module, settings: dict) -> Callable[[], torch.Tensor]:
    if task.method == "integrated-gradients":
        method, (steps,) = IntegratedGradients(module), task.settings
        # Without a batch size all images at all steps would go through at once.
        return lambda: method.attribute(**settings, n_steps=steps, internal_batch_size=max(task.images, IN_ONE_BATCH))
    method, channels, (window, stride) = Occlusion(module), task.network.image_shape[2], task.settings
    windows = dict(sliding_window_shapes=(channels, window, window), strides=(channels, stride, stride))
    return torch.no_grad()(lambda: method.attribute(**settings, **windows))


IN_ONE_BATCH = 128
"""Images at a step, at least: fewer took longer on a CPU of two cores, and more did, too."""


def load(layout: str) -> Loaded:
    """layout: channels_last or nchw."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def build(task: Task) -> Program:
        if isinstance(task, GemmTask):
            return gemm_program(task, device)
        if not isinstance(task, AttributionTask):
            raise Unsupported("captum only attributes")
        return attribution_program(task, layout, device)

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    memory = torch.cuda.max_memory_allocated if device == "cuda" else machine.peak_bytes
    return Loaded(build, device=name, memory=memory)
