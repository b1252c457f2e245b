"""What a run came to, on disk and back."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.result import DamagedResult, counted_hits, load_result, save_result
from tests.tiny_runs import BASE, base_result, fingerprint, small_evaluation_batches, trainer  # noqa: F401


def test_a_saved_result_is_loaded_bit_for_bit(tmp_path):
    save_result(base_result(), tmp_path)
    loaded = load_result(BASE, tmp_path)
    assert fingerprint(loaded) == fingerprint(base_result())
    for name in ("config", "records", "test_loss", "test_hits", "test_accuracy", "compile_seconds", "best_epoch"):
        one, other = getattr(loaded, name), getattr(base_result(), name)
        assert one == other
        assert type(one) is type(other)
    assert [type(v) for v in vars(loaded.records[0]).values()] == [type(v) for v in
                                                                   vars(base_result().records[0]).values()]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["result.npz"]


def test_hits_of_a_result_that_holds_a_mean_alone_are_counted(tmp_path):
    """As older versions wrote it: in float32."""
    save_result(base_result(), tmp_path)
    with np.load(tmp_path / "result.npz") as file:
        arrays = {name: array for name, array in file.items() if name != "test_hits"}
    arrays["facts"][2] = np.float32(arrays["facts"][2])
    np.savez(tmp_path / "result.npz", **arrays)
    assert load_result(BASE, tmp_path).test_hits == base_result().test_hits


@pytest.mark.parametrize("images", [1, 2, 3, 359, 10_000, 49_999])
def test_hits_are_counted_from_any_mean_in_float32(images):
    hits = np.unique(np.linspace(0, images, 200).astype(int))
    means = hits.astype(np.float32) / np.float32(images)
    assert [counted_hits(float(mean), images) for mean in means] == hits.tolist()


@pytest.mark.parametrize(("accuracy", "images"), [(0.95, 359), (-0.1, 10), (1.5, 10), (float("nan"), 10), (0.5, 0)])
def test_what_is_no_mean_of_hits_is_refused(accuracy, images):
    with pytest.raises(ValueError, match=rf"test_accuracy is {accuracy}: expected a whole number of hits in {images} "):
        counted_hits(accuracy, images)


def test_a_damaged_result_is_computed_again_from_the_last_checkpoint(tmp_path):
    first = trainer().run(directory=tmp_path, every_epoch=True)
    whole = (tmp_path / "result.npz").read_bytes()
    for damaged in (whole[:-100], whole[: len(whole) // 2] + b"!" + whole[len(whole) // 2 + 1 :], b"", None):
        (tmp_path / "result.npz").unlink()
        if damaged is not None:
            (tmp_path / "result.npz").write_bytes(damaged)
        with pytest.raises(DamagedResult, match=r"^\S*result\.npz (cannot be read|holds other parameters)[^\n]*$"):
            load_result(BASE, tmp_path)
        with pytest.warns(RuntimeWarning, match="computed again from the last checkpoint"):
            again = trainer().run(directory=tmp_path, resume=True)
        assert fingerprint(again) == fingerprint(first)
        assert fingerprint(load_result(BASE, tmp_path)) == fingerprint(first)


@pytest.mark.parametrize(("said", "told"), [("x" * 999, "x" * 200), ("two\nlines", "two lines"), ("", "ValueError()")])
def test_why_a_result_cannot_be_read_is_one_short_line(said, told, tmp_path, monkeypatch):
    def fail(path):
        raise ValueError(said) if said else ValueError

    (tmp_path / "result.npz").touch()
    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(DamagedResult) as caught:
        load_result(BASE, tmp_path)
    assert str(caught.value) == f"{tmp_path / 'result.npz'} cannot be read ({told})"


def test_parameters_in_bfloat16_come_back(tmp_path):
    variables = {"params": {"dense": {"kernel": jnp.arange(6, dtype="bfloat16").reshape(2, 3) / 3}}}
    save_result(replace(base_result(), variables=variables), tmp_path)
    (kernel,) = jax.tree.leaves(load_result(BASE, tmp_path).variables)
    assert (kernel.dtype, kernel.tobytes()) == (
        "bfloat16",
        np.asarray(variables["params"]["dense"]["kernel"]).tobytes(),
    )
