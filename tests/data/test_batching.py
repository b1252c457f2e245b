import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.data import batched_map, epoch_order, num_batches


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(10, 3, 3), (10, 5, 2), (10, 10, 1), (10, 1, 10)])
def test_num_batches_counts_full_batches(n, batch_size, expected):
    assert num_batches(n, batch_size) == expected


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_batch_size_out_of_range_is_refused_naming_both(batch_size):
    for refuse in (lambda: num_batches(10, batch_size), lambda: epoch_order(jax.random.key(0), 10, batch_size)):
        with pytest.raises(ValueError, match=f"batch_size must be from 1 .* examples 10, got {batch_size}"):
            refuse()


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (12, 4), (7, 7), (5, 1), (1000, 128)])
def test_an_epoch_shows_no_example_twice(n, batch_size):
    order = epoch_order(jax.random.key(0), n, batch_size)
    assert order.dtype == jnp.int32
    assert order.shape == (n // batch_size, batch_size)
    shown = np.asarray(order).ravel().tolist()
    assert len(set(shown)) == len(shown)
    assert set(shown) <= set(range(n))


def test_order_is_a_pure_function_of_its_key():
    first, again, other = (np.asarray(epoch_order(jax.random.key(seed), 50, 10)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_order_works_under_jit_and_vmap():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: epoch_order(key, 50, 8)))(keys)
    for key, order in zip(keys, together, strict=True):
        np.testing.assert_array_equal(order, epoch_order(key, 50, 8))


def test_every_example_is_left_out_about_as_often_as_any_other():
    epochs = 3000
    keys = jax.random.split(jax.random.key(3), epochs)
    shown = np.bincount(np.asarray(jax.vmap(lambda key: epoch_order(key, 10, 4))(keys)).ravel(), minlength=10)
    # Binomial(3000, 0.8): standard deviation 22.
    assert np.abs(shown - 0.8 * epochs).max() < 5 * 22


def test_every_example_comes_at_every_place_about_equally_often():
    epochs = 3000
    keys = jax.random.split(jax.random.key(4), epochs)
    orders = np.asarray(jax.vmap(lambda key: epoch_order(key, 6, 3))(keys)).reshape(epochs, 6)
    for place in range(6):
        # Binomial(3000, 1/6): standard deviation 20.
        assert np.abs(np.bincount(orders[:, place], minlength=6) - epochs / 6).max() < 5 * 20.4


def _sums(images):
    return {"sum": images.sum(axis=(1, 2)), "first": images[:, 0, 0]}


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("wrap", [lambda fn: fn, jax.jit], ids=["eager", "jit"])
def test_batched_map_is_the_function_on_every_example_once(rng, n, wrap):
    images = rng.normal(size=(n, 2, 3)).astype(np.float32)
    found = wrap(lambda images: batched_map(_sums, images, 4))(images)
    for i in range(n):
        np.testing.assert_allclose(found["sum"][i], sum(images[i].ravel().tolist()), rtol=1e-5)
        assert found["first"][i] == images[i, 0, 0]
    assert found["sum"].shape == found["first"].shape == (n,)


@pytest.mark.parametrize(("n", "expected"), [(11, 4), (8, 4), (4, 4), (3, 3)])
def test_batched_map_traces_the_function_once_on_batches_of_one_size(n, expected):
    seen = []

    def fn(images):
        seen.append(images.shape)
        return images

    batched_map(fn, np.zeros((n, 2), np.float32), 4)
    assert seen == [(expected, 2)]


def test_batched_map_pads_with_examples_not_with_zeros():
    # 1 / 0 or 0 / 0 of a padding would be an error here, though it never shows in the result.
    images = np.arange(1, 8, dtype=np.float32)
    with jax.debug_nans(True), jax.debug_infs(True):
        np.testing.assert_allclose(batched_map(lambda x: 1 / x, images, 4), [1 / x for x in range(1, 8)], rtol=1e-6)


def test_batched_map_takes_several_arrays_of_any_dtype(rng):
    images, labels = rng.integers(0, 256, (9, 2), dtype=np.uint8), np.arange(9, dtype=np.int32)

    def fn(batch):
        images, labels = batch
        return images[:, 0].astype(jnp.int32) + labels

    found = batched_map(fn, (images, labels), 4)
    assert found.tolist() == [int(image[0]) + int(label) for image, label in zip(images, labels, strict=True)]


def test_batched_map_has_the_gradient_of_the_plain_function(rng):
    images = jnp.asarray(rng.normal(size=(7, 3)), jnp.float32)
    found = jax.grad(lambda images: batched_map(lambda x: (x**3).sum(axis=1), images, 4).sum())(images)
    np.testing.assert_allclose(found, 3 * np.asarray(images) ** 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("fn", "images", "batch_size", "message"),
    [
        (lambda x: x, np.zeros((3, 2)), 0, "batch_size must be at least 1, got 0"),
        (lambda x: x, np.zeros((0, 2)), 2, r"one N of at least 1, got shapes \[\(0, 2\)\]"),
        (lambda x: x, np.zeros(()), 2, r"one N of at least 1, got shapes \[\(\)\]"),
        (lambda x: x, (np.zeros(3), np.zeros(4)), 2, r"one N of at least 1, got shapes \[\(3,\), \(4,\)\]"),
        (lambda x: x.sum(), np.zeros((3, 2)), 2, r"fn must return arrays \[B, …\] with B = 2, got shape \(\)"),
        (lambda x: x[:1], np.zeros((3, 2)), 2, r"fn must return arrays .* B = 2, got shape \(1, 2\)"),
    ],
)
def test_batched_map_refuses(fn, images, batch_size, message):
    with pytest.raises(ValueError, match=message):
        batched_map(fn, images, batch_size)
