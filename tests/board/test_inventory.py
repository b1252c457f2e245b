"""What there is to audit is found by looking."""

import jax
import jax.numpy as jnp
from mpmath import mp

from convnet.board.case import at, case
from convnet.board.inventory import inventory, public, resolved

SIN = case("jax.numpy.sin", mp.sin, at("generic", 0.4))


def test_public_functions_are_there_by_their_full_names():
    here = dict(public())
    assert here["jax.nn.relu"] is jax.nn.relu
    assert here["jax.scipy.stats.norm.logpdf"] is jax.scipy.stats.norm.logpdf
    assert "flax.linen.LayerNorm" in here
    assert not any(name.rpartition(".")[2].startswith("_") for name in here)
    assert "jax.numpy.float32" not in here
    assert "jax.numpy.linalg" not in here


def test_a_function_without_a_case_is_missing_until_it_is_left_out():
    before = inventory([SIN], {})
    assert "jax.numpy.sin" in before.covered
    assert "jax.numpy.argmax" in before.missing
    after = inventory([SIN], {"jax.numpy.argmax": "integers"})
    assert after.left_out == {"jax.numpy.argmax": "integers"}
    assert set(before.missing) - set(after.missing) == {"jax.numpy.argmax"}


def test_a_new_function_is_reported(monkeypatch):
    assert "jax.numpy.brand_new" not in inventory([SIN], {}).missing
    monkeypatch.setattr(jnp, "brand_new", lambda x: x, raising=False)
    assert "jax.numpy.brand_new" in inventory([SIN], {}).missing


def test_an_alias_needs_no_case_of_its_own(monkeypatch):
    monkeypatch.setattr(jnp, "brand_new", jnp.sin, raising=False)
    assert "jax.numpy.brand_new" in inventory([SIN], {}).covered


def test_a_case_of_what_is_gone_is_named():
    gone = case("jax.numpy.of_another_release", mp.sin, at("generic", 0.4))
    assert inventory([SIN, gone], {}).gone == ("jax.numpy.of_another_release",)
    assert resolved("jax.numpy.of_another_release") is None
    assert resolved("no.such.module") is None
