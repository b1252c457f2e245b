"""Checkpoints: every bit comes back, damage and strangers are noticed, and a failed save costs nothing."""

import errno
import json
import os
import shutil
import threading
import warnings
from collections import namedtuple
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.config import RunConfig, TrainConfig
from convnet.record import parameter_hash
from convnet.settings import to_dict
from convnet.train import Checkpoints, EpochRecord, Fit, OtherRun, TrainState

CONFIG = to_dict(RunConfig())
Trace = namedtuple("Trace", "trace count")


def state_of(seed, *, impl="threefry2x32"):
    """A state with several dtypes, an empty node, nested containers and a typed key."""
    rng = np.random.default_rng(seed)
    params = {
        "conv1": {"kernel": jnp.asarray(rng.standard_normal((3, 3, 1, 4)), jnp.float32), "bias": jnp.zeros(4)},
        "norm": {"scale": jnp.asarray(rng.standard_normal(4), jnp.bfloat16)},
    }
    moments = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), p.dtype), params)
    stats = {"norm": {"mean": jnp.asarray(rng.standard_normal(4), jnp.float32)}}
    opt_state = ((), Trace(moments, jnp.int32(seed)))
    return TrainState(params, opt_state, jnp.int32(7 * seed), jax.random.key(seed, impl=impl), stats)


def fit_of(epoch, state=None):
    """Where training stands after `epoch` epochs; the best parameters are others than the latest."""
    records = tuple(EpochRecord(n, 7 * n, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6) for n in range(1, epoch + 1))
    return Fit(state or state_of(epoch), state_of(100 + epoch).variables, max(1, epoch - 1), records)


def bits(tree):
    """Path, dtype, shape and bytes of every leaf."""
    plain = jax.tree.map(lambda x: jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
                         tree)  # fmt: skip
    leaves = jax.tree_util.tree_leaves_with_path(plain)
    return [(jax.tree_util.keystr(p), str(x.dtype), x.shape, np.asarray(x).tobytes()) for p, x in leaves]


@pytest.fixture
def checkpoints(tmp_path):
    def open_(config=CONFIG, **options):
        return Checkpoints(tmp_path / "checkpoints", config, parameter_hash, **options)

    return open_


@pytest.fixture
def saved(checkpoints, tmp_path):
    """Checkpoints of epochs 3 and 4; their directory."""
    with checkpoints() as store:
        for epoch in (3, 4):
            store.save(fit_of(epoch), {"bytes": 100 * epoch})
    return tmp_path / "checkpoints"


def names(directory):
    return sorted(path.name for path in directory.iterdir())


# --- what comes back --------------------------------------------------------------------------------------------------


def test_every_bit_comes_back(saved, checkpoints):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with checkpoints() as store:
            found = store.restore(state_of(0))
    assert (found.epoch, found.best_epoch, found.position) == (4, 3, {"bytes": 400})
    assert bits(found.state) == bits(state_of(4))
    assert bits(found.best_variables) == bits(state_of(104).variables)
    assert jax.tree.structure(found.state) == jax.tree.structure(state_of(4))
    assert isinstance(found.state.opt_state[1], Trace)


def test_a_program_compiled_for_the_first_state_takes_a_restored_one(saved, checkpoints):
    """No other dtype, weak type or device, which would compile (and round) anew."""
    compiled = jax.jit(lambda s: replace(s, step=s.step + 1), donate_argnums=0).lower(state_of(0)).compile()
    with checkpoints() as store:
        restored = store.restore(state_of(0)).state
    assert [(x.aval, x.weak_type, x.sharding) for x in jax.tree.leaves(restored.params)] == [
        (x.aval, x.weak_type, x.sharding) for x in jax.tree.leaves(state_of(0).params)
    ]
    assert int(compiled(restored).step) == 29


def test_float64_survives_although_the_writer_is_another_thread(checkpoints, x64):
    double = jax.tree.map(lambda p: p.astype(jnp.float64) / 3, state_of(1).params)
    state = replace(state_of(1), params=double)
    with checkpoints() as store:
        store.save(replace(fit_of(1, state), best_variables=state.variables), {})
        store.wait()
        found = store.restore(state)
    assert {x.dtype for x in jax.tree.leaves(found.state.params)} == {jnp.dtype("float64")}
    assert bits(found.best_variables) == bits(state.variables)


def test_keys_of_another_kind_survive(checkpoints):
    with checkpoints() as store:
        store.save(fit_of(1, state_of(1, impl="rbg")), {})
        store.wait()
        found = store.restore(state_of(0, impl="rbg"))
    assert bits(found.state.key) == bits(jax.random.key(1, impl="rbg"))


def test_what_is_saved_is_what_was_there_though_the_buffers_are_used_again(checkpoints, monkeypatch):
    """The writer is held until training has consumed the state that it was given."""
    go, write = threading.Event(), Checkpoints.write
    monkeypatch.setattr(Checkpoints, "write", lambda self, *args: go.wait(600) and write(self, *args))
    overwrite = jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)
    state = state_of(5)
    pointer = state.params["conv1"]["kernel"].unsafe_buffer_pointer()
    with checkpoints() as store:
        store.save(fit_of(5, state), {})
        assert store.saving
        after = overwrite(state.params)
        assert after["conv1"]["kernel"].unsafe_buffer_pointer() == pointer  # reused: no view of it was kept
        go.set()
        store.wait()
        assert not store.saving
        assert bits(store.restore(state_of(0)).state) == bits(state_of(5))
        assert store.seconds > 0


def test_nothing_saved_is_none(checkpoints):
    with checkpoints() as store:
        assert store.restore(state_of(0)) is None
        assert store.epochs() == []
        assert not store.saving


@pytest.mark.parametrize(("keep", "left"), [(1, [4]), (2, [3, 4]), (3, [2, 3, 4])])
def test_the_newest_are_kept(keep, left, checkpoints, tmp_path):
    with checkpoints(keep=keep) as store:
        for epoch in (1, 2, 3, 4):
            store.save(fit_of(epoch), {})
    assert names(tmp_path / "checkpoints") == [f"{epoch:08d}" for epoch in left]


def test_a_run_that_starts_anew_removes_them(saved, checkpoints):
    with checkpoints() as store:
        store.clear()
        assert store.restore(state_of(0)) is None
        store.clear()
    assert names(saved) == []


def test_files_and_links_among_them_are_removed_and_what_a_link_points_to_stays(saved, checkpoints, tmp_path):
    (saved / "a file").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (saved / "a link").symlink_to(tmp_path / "elsewhere")
    with checkpoints() as store:
        store.clear()
    assert names(saved) == []
    assert (tmp_path / "elsewhere").is_dir()


def test_a_directory_that_is_a_link_stays_one(saved, checkpoints, tmp_path):
    """Checkpoints may lie on another disk."""
    elsewhere = tmp_path / "big disk"
    saved.rename(elsewhere)
    saved.symlink_to(elsewhere)
    with checkpoints() as store:
        store.clear()
        store.save(fit_of(5), {})
    assert saved.is_symlink()
    assert names(elsewhere) == ["00000005"]
    with checkpoints() as store:
        assert store.restore(state_of(0)).epoch == 5


ODD = ["lr=[0.1]", "[", "a]b[c", "a\\b", "gs:", "s3:", "*?", "50%",
       "a#b?c", "{x}", "naïve 数", "new\nline", "'\"", "~", " "]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_any_path_that_a_file_system_takes(name, tmp_path):
    """Patterns, protocols and escapes to those that read them as such."""
    directory = tmp_path / name / "checkpoints"
    for epoch in (3, 4):
        with Checkpoints(directory, CONFIG, parameter_hash) as store:
            assert epoch == 3 or store.restore(state_of(0)).epoch == 3
            store.save(fit_of(epoch), {})
    with Checkpoints(directory, CONFIG, parameter_hash) as store:
        assert bits(store.restore(state_of(0)).state) == bits(state_of(4))
    assert names(directory) == ["00000003", "00000004"]


def test_a_name_that_is_no_text(tmp_path):
    try:
        directory = tmp_path / os.fsdecode(b"\xff\xfe")
        directory.mkdir()
    except OSError:
        pytest.skip("this file system wants text")
    with Checkpoints(directory / "checkpoints", CONFIG, parameter_hash) as store:
        store.save(fit_of(3), {})
        store.wait()
        assert store.restore(state_of(0)).epoch == 3


def test_arrays_of_size_zero_come_back(checkpoints):
    """A layer of no units has parameters, too."""
    params = {"none": {"kernel": jnp.zeros((0, 3), jnp.bfloat16)}, "dense": {"bias": jnp.arange(3.0)}}
    state = replace(state_of(1), params=params)
    with checkpoints() as store:
        store.save(replace(fit_of(1, state), best_variables=state.variables), {})
        store.wait()
        found = store.restore(state)
    assert bits(found.state) == bits(state)
    assert bits(found.best_variables) == bits(state.variables)


# --- strangers --------------------------------------------------------------------------------------------------------


def test_another_config_is_refused_with_the_fields_that_differ(saved, checkpoints):
    other = to_dict(RunConfig(train=TrainConfig(epochs=99), seed=3))
    with checkpoints(other) as store, pytest.raises(OtherRun, match="another run") as caught:
        store.restore(state_of(0))
    assert str(caught.value).endswith(
        "00000004 is a checkpoint of another run: train.epochs (20 then, 99 now), seed (0 then, 3 now)"
    )
    assert isinstance(caught.value, ValueError)
    assert names(saved) == ["00000003", "00000004"]  # it is not damaged


def test_parameters_that_the_code_no_longer_has_are_refused(saved, checkpoints):
    changed = state_of(0)
    params = {"conv1": {"kernel": jnp.zeros((5, 5, 1, 4)), "bias": jnp.zeros(4)}, "norm": changed.params["norm"]}
    with checkpoints() as store, pytest.raises(ValueError, match="does not fit this code's parameters") as caught:
        store.restore(replace(changed, params=params))
    expected = "state.params.conv1.kernel ('float32[3, 3, 1, 4]' there, 'float32[5, 5, 1, 4]' here)"
    assert expected in str(caught.value)
    assert names(saved) == ["00000003", "00000004"]


# --- damage -----------------------------------------------------------------------------------------------------------


def largest(path):
    return max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(path):
    victim = largest(path)
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])


def flip_a_bit(path):
    """In each file that holds data."""
    victims = [file for file in path.rglob("*") if file.parent.name == "d"]
    assert victims
    for victim in victims:
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)


def edit_facts(path, change):
    file = path / "_CHECKPOINT_METADATA"
    metadata = json.loads(file.read_text())
    change(metadata["custom_metadata"])
    file.write_text(json.dumps(metadata))


def empty(path):
    for child in path.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()


DAMAGES = {
    "truncated": truncate,
    "one bit": flip_a_bit,
    "a file deleted": lambda path: largest(path).unlink(),
    "empty": empty,
    "all files empty": lambda path: [p.write_bytes(b"") for p in path.rglob("*") if p.is_file()],
    "no metadata": lambda path: (path / "_CHECKPOINT_METADATA").unlink(),
    "metadata cut": lambda path: (path / "_CHECKPOINT_METADATA").write_text('{"custom'),
    "another position": lambda path: edit_facts(path, lambda facts: facts["position"].update(bytes=1)),
    "another best epoch": lambda path: edit_facts(path, lambda facts: facts.update(best_epoch=1)),
    "another config": lambda path: edit_facts(path, lambda facts: facts["identity"].update(seed=9)),
    "a file in its place": lambda path: (shutil.rmtree(path), path.write_text("")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(damage, saved, checkpoints):
    damage(saved / "00000004")
    with checkpoints() as store, pytest.warns(RuntimeWarning, match=r"00000004 is damaged .* 00000004\.damaged$"):
        found = store.restore(state_of(0))
    assert (found.epoch, found.position) == (3, {"bytes": 300})
    assert bits(found.state) == bits(state_of(3))
    assert names(saved) == ["00000003", "00000004.damaged"]


def test_when_all_are_damaged_there_is_none_and_nothing_is_deleted(saved, checkpoints):
    for name in ("00000003", "00000004"):
        flip_a_bit(saved / name)
    with checkpoints() as store, pytest.warns(RuntimeWarning, match="damaged"):
        assert store.restore(state_of(0)) is None
    assert names(saved) == ["00000003.damaged", "00000004.damaged"]


def test_the_same_epoch_damaged_again_gets_another_name(saved, checkpoints):
    for _ in range(2):
        flip_a_bit(saved / "00000004")
        with checkpoints() as store:
            with pytest.warns(RuntimeWarning, match="damaged"):
                store.restore(state_of(0))
            store.save(fit_of(4), {})
    assert names(saved) == ["00000003", "00000004", "00000004.damaged", "00000004.damaged-2"]


def test_what_a_killed_save_or_removal_left_is_cleared_away(saved, checkpoints):
    shutil.copytree(saved / "00000004", saved / "00000005.orbax-checkpoint-tmp")
    shutil.copytree(saved / "00000003", saved / "00000002.discarded")
    with checkpoints() as store:
        assert store.restore(state_of(0)).epoch == 4
    assert names(saved) == ["00000003", "00000004"]


@pytest.mark.parametrize("read", ["restore", "newest"])
def test_what_may_not_be_read_is_not_called_damaged(read, saved, tmp_path):
    def forbidden(arrays):
        raise PermissionError("not yours")

    with Checkpoints(saved, CONFIG, forbidden) as store, pytest.raises(PermissionError, match="not yours"):
        store.restore(state_of(0)) if read == "restore" else store.newest()
    assert names(saved) == ["00000003", "00000004"]


def test_a_reader_takes_the_newest_that_is_whole_and_touches_nothing(saved, checkpoints):
    with checkpoints() as store:
        assert store.newest()[1]["epoch"] == 4
        flip_a_bit(saved / "00000004")
        with pytest.warns(RuntimeWarning, match="checkpoint 4 cannot be read"):
            arrays, facts = store.newest()
        assert facts["epoch"] == 3
        np.testing.assert_array_equal(arrays["state.params.conv1.kernel"], state_of(3).params["conv1"]["kernel"])
        flip_a_bit(saved / "00000003")
        with pytest.warns(RuntimeWarning, match="checkpoint [34] cannot be read"):
            assert store.newest() is None
    assert names(saved) == ["00000003", "00000004"]


def test_folders_on_the_way_are_made(tmp_path):
    with Checkpoints(tmp_path / "runs" / "one" / "checkpoints", CONFIG, parameter_hash) as store:
        store.save(fit_of(3), {})
    assert names(tmp_path / "runs" / "one" / "checkpoints") == ["00000003"]


# --- a full disk ------------------------------------------------------------------------------------------------------


def fail_with(error):
    def fail(*args, **kwargs):
        raise error

    return fail


FULL = {
    "the system's": OSError(errno.ENOSPC, "No space left on device"),
    "the storage layer's": ValueError("RESOURCE_EXHAUSTED: Failed to write 327 bytes to file 14: No space left"),
}


@pytest.mark.parametrize("error", FULL.values(), ids=FULL)
def test_a_full_disk_is_one_line_and_older_checkpoints_stay(error, saved, checkpoints, monkeypatch):
    with checkpoints() as store:
        monkeypatch.setattr(store.checkpointer, "save", fail_with(error))
        store.save(fit_of(5), {})
        with pytest.raises(OSError, match="no space left for this checkpoint; make room and resume") as caught:
            store.wait()
        assert caught.value.errno == errno.ENOSPC
        assert "\n" not in str(caught.value)
        assert store.restore(state_of(0)).epoch == 4
    assert names(saved) == ["00000003", "00000004"]


@pytest.fixture
def unremovable(monkeypatch):
    """Directories that cannot be removed, as where the disk fails or somebody else works in them."""

    def fail(path, ignore_errors=False):
        if not ignore_errors:
            raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(shutil, "rmtree", fail)


def test_an_old_checkpoint_that_cannot_be_removed_costs_nothing(checkpoints, tmp_path, unremovable):
    with checkpoints(keep=1) as store:
        for epoch in (3, 4):
            store.save(fit_of(epoch), {})
    with checkpoints() as store:
        assert store.epochs() == [4]
        assert store.restore(state_of(0)).epoch == 4


@pytest.mark.parametrize("busy", [False, True])
def test_what_a_failed_save_has_written_is_removed_where_that_is_possible(
    busy, saved, checkpoints, monkeypatch, request
):
    def half(path, **options):
        (saved / "00000005.orbax-checkpoint-tmp-1").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    if busy:
        request.getfixturevalue("unremovable")
    with checkpoints() as store:
        monkeypatch.setattr(store.checkpointer, "save", half)
        store.save(fit_of(5), {})
        with pytest.raises(OSError, match="no space left for this checkpoint"):
            store.wait()
    assert ("00000005.orbax-checkpoint-tmp-1" in names(saved)) == busy


def test_a_save_that_cannot_be_read_back_is_an_error_at_once(saved, checkpoints, monkeypatch):
    """While the checkpoints before are still there; what was written is kept to be looked at."""
    store = checkpoints()
    write = store.checkpointer.save

    def tear(path, **options):
        write(path, **options)
        truncate(path)

    monkeypatch.setattr(store.checkpointer, "save", tear)
    with store:
        store.save(fit_of(5), {})
        with (
            pytest.warns(RuntimeWarning, match=r"00000005 is damaged"),
            pytest.raises(OSError, match="this checkpoint cannot be read back"),
        ):
            store.wait()
    assert names(saved) == ["00000003", "00000004", "00000005.damaged"]


def test_too_little_room_is_noticed_before_anything_is_written(saved, checkpoints, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, used=10**9, free=1000))
    with checkpoints() as store:
        store.save(fit_of(5), {})
        with pytest.raises(OSError, match="no space left for this checkpoint"):
            store.save(fit_of(6), {})  # says that the one before has failed
    assert names(saved) == ["00000003", "00000004"]


def test_another_failure_is_not_called_a_full_disk(checkpoints, monkeypatch):
    store = checkpoints()
    monkeypatch.setattr(store.checkpointer, "save", fail_with(ValueError("unheard of")))
    store.save(fit_of(5), {})
    with pytest.raises(ValueError, match="unheard of"), store:
        pass  # the end of the `with` waits for it


def test_an_error_inside_the_with_is_not_hidden_by_that_of_a_save(checkpoints, monkeypatch):
    store = checkpoints()
    monkeypatch.setattr(store.checkpointer, "save", fail_with(ValueError("unheard of")))
    store.save(fit_of(5), {})
    with pytest.raises(KeyError, match="first"), store:
        raise KeyError("first")
