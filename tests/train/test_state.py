"""The state, and whose randomness is whose."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convnet.train import STREAMS, TrainState, init_state, stream

KEY = jax.random.key(42)


def bits(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_the_streams_are_pinned():
    """Another number, and every recorded run comes out differently."""
    assert STREAMS == {"init": 0, "order": 1, "augment": 2, "dropout": 3, "flip": 4}
    expected = jax.random.fold_in(jax.random.fold_in(KEY, 2), 7)
    assert bits(stream(KEY, "augment", 7)) == bits(expected)


def test_no_two_uses_share_a_key():
    """Neither two streams, nor two steps of one, nor two seeds; nor is any of them the root itself."""
    keys = [bits(stream(jax.random.key(seed), name, i)) for seed in (0, 1, 2) for name in STREAMS for i in range(5)]
    keys += [bits(jax.random.key(seed)) for seed in (0, 1, 2)]
    assert len(set(keys)) == 3 * len(STREAMS) * 5 + 3


def test_an_index_may_be_traced():
    got = jax.jit(lambda i: jax.random.key_data(stream(KEY, "order", i)))(jnp.int32(3))
    assert tuple(got.tolist()) == bits(stream(KEY, "order", 3))


def test_an_unknown_stream_is_an_error():
    with pytest.raises(KeyError, match="shuffle"):
        stream(KEY, "shuffle")


class Spy:
    """A model whose one parameter tells what it was initialised with."""

    def init(self, key, images):
        assert (images.shape, images.dtype) == ((1, 6, 4, 2), jnp.float32)
        return {"params": {"key": jax.random.key_data(key)}}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_state(seed):
    key, optimizer = jax.random.key(seed), optax.trace(0.9)
    state = init_state(Spy(), optimizer, key, (6, 4, 2))
    assert tuple(state.params["key"].tolist()) == bits(stream(key, "init"))
    assert bits(state.key) == bits(key)
    assert (int(state.step), state.step.dtype, state.step.shape) == (0, jnp.int32, ())
    assert jax.tree.structure(state.opt_state) == jax.tree.structure(optimizer.init(state.params))


def test_a_state_is_a_pytree_of_its_parts():
    state = TrainState(params={"w": jnp.ones(2)}, opt_state=(), step=jnp.int32(3), key=KEY)
    leaves, structure = jax.tree.flatten(state)
    assert len(leaves) == 3
    again = jax.tree.unflatten(structure, leaves)
    assert state.variables == {"params": state.params}
    moments = {"norm": {"mean": jnp.zeros(2)}}
    assert len(jax.tree.leaves(replace(state, batch_stats=moments))) == 4
    assert replace(state, batch_stats=moments).variables == {"params": state.params, "batch_stats": moments}
    assert (again.params["w"] is state.params["w"], again.step is state.step, again.key is KEY) == (True, True, True)
