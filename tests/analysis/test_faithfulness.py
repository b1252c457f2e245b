"""Deletion and insertion curves."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from convnet.analysis import View
from convnet.analysis.faithfulness import deletion_insertion
from tests.analysis.compilations import compilations
from tests.analysis.tiny_views import view_of

SHAPE = (5, 7, 1)


class Affine(nn.Module):
    """Two classes: the logit of the first is ⟨w, x⟩, that of the second 0."""

    @nn.compact
    def __call__(self, x):
        w = self.param("w", nn.initializers.normal(), SHAPE)
        first = jnp.sum(x * w[None], axis=(1, 2, 3))
        return jnp.stack([first, jnp.zeros_like(first)], axis=1)


def affine(w):
    return View.of_module(Affine(), {"params": {"w": jnp.asarray(w, jnp.float32)}}, SHAPE)


@pytest.fixture
def images(rng):
    return rng.uniform(size=(3, *SHAPE)).astype(np.float32)


def by_hand(w, image, base, order, steps):
    """Logits of one image as its pixels are replaced by those of `base` in `order`."""
    ends = [round(35 * step / steps) for step in range(steps + 1)]
    found = []
    for end in ends:
        changed = image.ravel().copy()
        for pixel in order[:end]:
            changed[pixel] = base.ravel()[pixel]
        found.append(float(changed @ w.ravel()))
    return found


def test_both_curves_are_those_of_a_plain_loop(images, rng):
    w, maps = rng.normal(size=SHAPE), rng.normal(size=(3, 5, 7))
    found = deletion_insertion(affine(w), images, maps, [0, 0, 1], baseline=0.25, steps=6, random=2)
    assert found.pixels.tolist() == [0, 6, 12, 18, 23, 29, 35]
    for i, sign in enumerate((1, 1, 0)):
        order = sorted(range(35), key=lambda pixel: -maps[i].ravel()[pixel])
        deleted = by_hand(w, images[i], np.full(SHAPE, 0.25), order, 6)
        logits = np.array([deleted, np.zeros(7)])
        np.testing.assert_allclose(found.deletion.logit[i], logits[0] * sign, atol=1e-5)
        share = np.exp(logits) / np.exp(logits).sum(axis=0)
        np.testing.assert_allclose(found.deletion.probability[i], share[0 if sign else 1], atol=1e-5)
        kept = by_hand(w, np.full(SHAPE, 0.25), images[i], order, 6)
        np.testing.assert_allclose(found.insertion.logit[i], np.array(kept) * sign, atol=1e-5)


def test_deletion_in_the_opposite_order_is_insertion_backwards(images, rng):
    """With as many pixels in every step, and one baseline."""
    w, maps = rng.normal(size=SHAPE), rng.permutation(105).reshape(3, 5, 7)
    forth = deletion_insertion(affine(w), images, maps, [0, 1, 0], baseline=0.5, steps=7, random=1)
    back = deletion_insertion(affine(w), images, -maps, [0, 1, 0], baseline=0.5, steps=7, random=1)
    np.testing.assert_allclose(forth.deletion.logit, back.insertion.logit[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(forth.insertion.auc, back.deletion.auc, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(35)), seed=st.integers(0, 20))
def test_no_order_beats_that_of_a_linear_model(order, seed):
    """Its exact order: w ⊙ (x − b), which is what each pixel adds to the logit."""
    rng = np.random.default_rng(seed)
    w, image = rng.normal(size=SHAPE), rng.uniform(size=(1, *SHAPE)).astype(np.float32)
    other = -np.argsort(order).reshape(1, 5, 7)
    options = dict(baseline=0.5, steps=35, random=1)
    exact = deletion_insertion(affine(w), image, (w * (image - 0.5))[..., 0], [0], **options)
    another = deletion_insertion(affine(w), image, other, [0], **options)
    assert (exact.deletion.logit <= another.deletion.logit + 1e-4).all()
    assert (exact.insertion.logit >= another.insertion.logit - 1e-4).all()
    assert exact.deletion.auc[0] <= another.deletion.auc[0] + 1e-5


def test_a_model_that_looks_at_nothing_has_its_constant_for_an_area(images, rng):
    found = deletion_insertion(affine(np.zeros(SHAPE)), images, rng.normal(size=(3, 5, 7)), [0, 1, 0], baseline=0.0)
    for curve in (found.deletion, found.insertion, found.random_deletion, found.random_insertion):
        np.testing.assert_allclose(curve.auc, 0.5, atol=1e-6)


def test_the_area_is_that_of_trapezoids():
    found = deletion_insertion(affine(np.ones(SHAPE)), np.ones((1, *SHAPE), np.float32), np.zeros((1, 5, 7)), [0],
                               baseline=0.0, steps=5, random=1)  # fmt: skip
    p = found.deletion.probability[0]
    assert found.deletion.auc[0] == pytest.approx(sum((a + b) / 2 / 5 for a, b in itertools.pairwise(p)))


def test_random_orders_are_the_same_for_the_same_seed_and_differ_among_themselves(images, rng):
    view, maps = affine(rng.normal(size=SHAPE)), np.zeros((3, 5, 7))
    one, two, other = (deletion_insertion(view, images, maps, [0, 0, 0], baseline=0.0, random=2, seed=seed, steps=5)
                       for seed in (1, 1, 2))  # fmt: skip
    np.testing.assert_array_equal(one.random_deletion.logit, two.random_deletion.logit)
    assert not np.allclose(one.random_deletion.logit, other.random_deletion.logit)
    assert not np.allclose(one.random_deletion.logit[0], one.random_deletion.logit[1])


def test_channels_of_a_map_are_summed_and_equal_pixels_go_in_order(images):
    view = affine(np.arange(35.0).reshape(SHAPE))
    flat = deletion_insertion(view, images, np.zeros((3, 5, 7)), [0, 0, 0], baseline=0.0, steps=35, random=1)
    falling = -np.arange(35.0).reshape(1, 5, 7, 1).repeat(3, 0)
    named = deletion_insertion(view, images, falling, [0, 0, 0], baseline=0.0, steps=35, random=1)
    np.testing.assert_array_equal(flat.deletion.logit, named.deletion.logit)


@pytest.mark.parametrize("shape", [(5, 7, 2), (6, 3, 3)], ids=str)
def test_a_pixel_goes_with_all_its_channels_in_the_order_of_their_sum(rng, shape):
    weights, images = rng.normal(size=shape), rng.uniform(size=(2, *shape)).astype(np.float32)
    maps, base = rng.normal(size=(2, *shape)), rng.uniform(size=shape)
    view = view_of((), shape, lambda name, values: _first_class(weights) if "kernel" in name else 0 * values)
    found = deletion_insertion(view, images, maps, [0, 0], baseline=base, steps=4, random=1)
    np.testing.assert_array_equal(found.pixels, np.round(np.linspace(0, shape[0] * shape[1], 5)))
    for i in range(2):
        order = sorted(np.ndindex(*shape[:2]), key=lambda pixel: -maps[i][pixel].sum())
        for step, end in enumerate(found.pixels):
            changed = images[i].copy()
            for pixel in order[:end]:
                changed[pixel] = base[pixel]
            assert found.deletion.logit[i, step] == pytest.approx((weights * changed).sum(), abs=1e-4)


def _first_class(weights):
    """The kernel of a dense layer of three classes, of which the first has these weights and the others none."""
    return weights.reshape(-1, 1) * np.array([[1.0, 0, 0]])


@pytest.mark.parametrize("kind", [np.uint8, bool, np.int64])
def test_maps_may_be_whole_numbers(images, rng, kind):
    maps = (rng.integers(0, 200, size=(3, 5, 7)) > 100).astype(kind)
    settings = dict(labels=[0, 1, 0], baseline=0.0, steps=5, random=1)
    view = affine(rng.normal(size=SHAPE))
    whole, floats = (deletion_insertion(view, images, each, **settings) for each in (maps, maps.astype(float)))
    np.testing.assert_array_equal(whole.deletion.logit, floats.deletion.logit)


def test_other_weights_and_maps_need_no_other_program(images, rng):
    settings = dict(labels=[0, 1, 0], baseline=0.0, steps=5, random=2)
    deletion_insertion(affine(rng.normal(size=SHAPE)), images, rng.normal(size=(3, 5, 7)), **settings)
    with compilations() as compiled:
        deletion_insertion(affine(rng.normal(size=SHAPE)), images, rng.normal(size=(3, 5, 7)), **settings)
    assert not compiled


def test_chunks_change_nothing(images, rng):
    view, maps = affine(rng.normal(size=SHAPE)), rng.normal(size=(3, 5, 7))
    done = []
    settings = dict(labels=[0, 1, 0], baseline=0.0, steps=5, random=2)
    whole = deletion_insertion(view, images, maps, **settings)
    parts = deletion_insertion(view, images, maps, memory=1, on_progress=done.append, **settings)
    assert sum(done) == 3
    np.testing.assert_allclose(whole.random_insertion, parts.random_insertion, atol=1e-6)
    np.testing.assert_allclose(whole.deletion, parts.deletion, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"maps": np.zeros((3, 7, 5))}, r"maps have shape \[3, 7, 5\]: expected \[3, 5, 7\]"),
        ({"maps": np.full((3, 5, 7), np.nan)}, "maps is 'not finite'"),
        ({"steps": 36}, "steps is 36: expected from 1 to the 35 pixels"),
        ({"random": 0}, "random is 0"),
        ({"labels": [0, 1, 2]}, "expected classes from 0 to 1"),
        ({"baseline": None}, "baseline is None"),
        ({"baseline": 128.0}, "from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(images, changes, told):
    settings = {"maps": np.zeros((3, 5, 7)), "labels": [0, 0, 0], "baseline": 0.0} | changes
    with pytest.raises(ValueError, match=told):
        deletion_insertion(affine(np.ones(SHAPE)), images, settings.pop("maps"), **settings)
