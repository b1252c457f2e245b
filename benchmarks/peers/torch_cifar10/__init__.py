"""CIFAR-10 to 94 % in torch: the recipe airbench94 with Muon, written afresh. `settings` has its constants, `peer` runs
it, and `python -m benchmarks.peers.torch_cifar10` serves it; only the latter two import torch."""
