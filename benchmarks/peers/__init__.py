"""What is measured beside what. A peer's module is imported only in the peer's own process."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from benchmarks.peers.program import Loaded


@dataclass(frozen=True)
class Peer:
    """`module` has `load(**settings) -> Loaded`; `framework` computes. programs: whether several steps or replicates
    can be one program."""

    label: str
    module: str
    settings: dict[str, str]
    framework: str = "jax"
    programs: bool = True


PEERS: dict[str, Peer] = {
    "ours": Peer("convnet, gradients by hand", "jax_steps", {"gradient": "hand"}),
    "ours-repeatable": Peer(
        "convnet as its runs are compiled, for equal bits", "jax_steps", {"gradient": "hand", "bits": "equal"}
    ),
    "autodiff": Peer("the same network under JAX's autodiff", "jax_steps", {"gradient": "auto"}),
    "flax": Peer("Flax Linen and Optax", "flax_linen", {}),
    "keras": Peer("Keras 3 on JAX, train_on_batch", "keras_layers", {}, programs=False),
    "torch": Peer("torch eager, channels last", "torch_modules", {"layout": "channels_last"}, "torch", programs=False),
    "torch-nchw": Peer("torch eager, NCHW", "torch_modules", {"layout": "nchw"}, "torch", programs=False),
    "torch-compile": Peer(
        "torch.compile, channels last", "torch_modules", {"layout": "compiled"}, "torch", programs=False
    ),
    "captum": Peer(
        "captum on eager torch, channels last",
        "captum_attributions",
        {"layout": "channels_last"},
        "torch",
        programs=False,
    ),
    "captum-nchw": Peer(
        "captum on eager torch, NCHW", "captum_attributions", {"layout": "nchw"}, "torch", programs=False
    ),
}

ATTRIBUTION_PEERS = ("ours", "autodiff", "captum", "captum-nchw")
STEP_PEERS = tuple(name for name in PEERS if name not in ("ours-repeatable", "captum", "captum-nchw"))
"""On CPUs every run has equal bits, and captum trains nothing."""
OP_PEERS = ("ours", "autodiff", "torch", "torch-nchw")
"""Those with ops of their own: Flax and Keras call `lax.conv_general_dilated`, and torch compiles no single kernel."""


def load(name: str) -> Loaded:
    """Import the peer into this process. Raises ModuleNotFoundError where its framework is not installed."""
    peer = PEERS[name]
    return import_module(f"benchmarks.peers.{peer.module}").load(**peer.settings)
