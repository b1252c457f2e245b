"""Right, and only callable as they are called: in some precisions, with keys, with a carry of a fixed dtype."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convnet.gradcheck.evidence.anybody.example import Example, with_vjp


def inverse_on_the_host(rng):
    """LAPACK knows neither bfloat16 nor float16."""

    def called(a):
        return jax.pure_callback(np.linalg.inv, jax.ShapeDtypeStruct(a.shape, a.dtype), a, vmap_method="broadcast_all")

    def backward(inverse, g):
        return (-inverse.T @ g @ inverse.T,)

    def forward(a):
        inverse = called(a)
        return inverse, inverse

    args = (rng.normal(size=(3, 3)) + 3 * np.eye(3),)
    return dict(fn=with_vjp(called, forward, backward), args=args, reference=jnp.linalg.inv, oracle=np.linalg.inv)


def dropout_with_a_key(rng):
    def dropout(key, x):
        return jnp.where(jax.random.bernoulli(key, 0.7, x.shape), x / 0.7, 0)

    fn = with_vjp(dropout, lambda key, x: (dropout(key, x), (key, x)), lambda kept, g: (None, dropout(kept[0], g)))
    return dict(fn=fn, args=(jax.random.key(int(rng.integers(1000))), rng.normal(size=(3, 4))), reference=dropout)


def dropout_with_an_old_key(rng):
    call = dropout_with_a_key(rng)
    key = np.asarray(jax.random.PRNGKey(int(rng.integers(1000))))
    return {**call, "args": (key, call["args"][1]), "fn": call["reference"]}


def keys_in_a_dictionary(rng):
    def noisy(params, x):
        noise = jax.random.normal(params["key"], x.shape, x.dtype)
        return jnp.tanh(x @ params["w"]) + 0.1 * noise @ params["w"]

    params = {"key": jax.random.key(int(rng.integers(1000))), "w": rng.normal(size=(4, 3))}
    return dict(fn=noisy, args=(params, rng.normal(size=(2, 4))), reference=noisy)


def narrow_carry(rng):
    def filtered(x, decay):
        def step(carry, value):
            carry = decay * carry + value
            return carry, carry

        return lax.scan(step, jnp.zeros((), jnp.float32), x)[1]

    args = rng.normal(size=8).astype(np.float32), np.float32(rng.uniform(0.5, 0.9))
    return dict(fn=filtered, args=args, reference=filtered, dtype="float32")


def narrow_kernel(rng):
    kernel = np.array([1, 2, 1], np.float32)[:, None, None] / 4

    def smoothed(x):
        names = ("NWC", "WIO", "NWC")
        return lax.conv_general_dilated(x[None, :, None], kernel, (1,), "SAME", dimension_numbers=names)[0, :, 0]

    return dict(fn=smoothed, args=(rng.normal(size=7).astype(np.float32),), reference=smoothed, dtype="float32")


def loop_with_narrow_state(rng):
    def power_iteration(a):
        start = jnp.ones(a.shape[0], jnp.float32)

        def step(_, v):
            v = a @ v
            return v / jnp.sqrt(jnp.sum(v**2))

        v = lax.fori_loop(0, 5, step, start)
        return v @ a @ v

    a = rng.uniform(0.5, 1.5, size=(4, 4)).astype(np.float32)
    return dict(fn=power_iteration, args=(a + a.T,), reference=power_iteration, dtype="float32")


RIGHT = tuple(
    Example(name, "crashes", build, note)
    for name, build, note in (
        ("an inverse on the host", inverse_on_the_host, "its callback fails in bfloat16"),
        ("dropout with a key", dropout_with_a_key, "a typed key is no array of numbers"),
        ("dropout with a key of numbers", dropout_with_an_old_key, "uint32, which any other numbers would be, too"),
        ("noise with a key among parameters", keys_in_a_dictionary, "a typed key in a dictionary"),
        ("a filter whose carry is float32", narrow_carry, "a scan with float64 fails"),
        ("smoothing with a float32 kernel", narrow_kernel, "a convolution with float64 fails"),
        ("power iteration from float32", loop_with_narrow_state, "a loop with float64 fails"),
    )
)
