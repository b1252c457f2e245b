"""Functions and modules as people write them, each with a test of its gradients: plain JAX, Flax, Equinox, Haiku.

Each module has a `loss` for the command convnet-audit, a function that makes its parameters or its module, and
`test_gradients`, which is what a test of one's own looks like.
"""
