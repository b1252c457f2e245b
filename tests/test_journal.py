"""A run on disk: interrupted anywhere, it goes on to the same bits, and what it cannot go on with it refuses."""

import errno
import os
from dataclasses import asdict, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

from convnet import journal, record
from convnet.config import RunConfig, TrainConfig, to_dict
from convnet.journal import Journal, is_finished
from convnet.record import metrics_hash, parameter_hash, read_manifest, read_metrics
from convnet.train import Checkpoints, NonFiniteLoss, OtherConfig, TrainState, fit

EPOCHS = 6
CONFIG = RunConfig(train=TrainConfig(epochs=EPOCHS))
OPTIMIZER = optax.sgd(0.1, momentum=0.9)


@jax.jit
def epoch_of_noise(state):
    """Three updates with gradients drawn from the state's key: a lost or repeated epoch changes every parameter."""

    def step(state, _):
        noise = jax.random.normal(jax.random.fold_in(state.key, state.step), (5,))
        updates, opt_state = OPTIMIZER.update({"w": state.params["w"] / 3 + noise}, state.opt_state)
        state = replace(
            state, params=optax.apply_updates(state.params, updates), opt_state=opt_state, step=state.step + 1
        )
        return state, {"loss": jnp.abs(noise).sum(), "accuracy": jnp.float32(0.5), "grad_norm": jnp.float32(1)}

    return jax.lax.scan(step, state, None, length=3)


def validate(variables):
    params = variables["params"]
    return {"loss": jnp.abs(params["w"]).sum(), "accuracy": jnp.round(jnp.sin(7 * params["w"][0]), 1) / 2 + 0.5}


def start():
    params = {"w": jnp.arange(5.0)}
    return TrainState(params, OPTIMIZER.init(params), jnp.zeros((), jnp.int32), jax.random.key(0))


class Interrupted(Exception):
    """Stands for whatever may stop a run."""


def go(path, *, stop_in=0, config=CONFIG, before=lambda epoch: None, **options):
    """Train in `path`; in epoch `stop_in` stop before anything of it is written down. before(epoch): called there."""
    with Journal(path, config, every_epoch=True, **options) as log:

        def keep(now):
            before(len(now.records))
            if len(now.records) == stop_in:
                raise Interrupted
            log.keep(now)

        end = fit(log.begin(start()), epoch_of_noise, validate, EPOCHS, keep=keep)
        log.finish(end.best_variables, best_epoch=end.best_epoch)
    return end


def outcome(path, end):
    """Everything but the times."""
    records = [replace(line, seconds=0.0) for line in end.records]
    whole = {"state": end.state, "best": end.best_variables}
    leaves = jax.tree.map(
        lambda x: jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x, whole
    )
    return parameter_hash(leaves), end.best_epoch, records, metrics_hash(read_metrics(path))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    expected = outcome(path, go(path))
    assert 1 < expected[1] < EPOCHS  # the best epoch is one that a resumed run can lie before, at and after
    return expected


def test_two_processes_do_not_share_a_directory(tmp_path):
    """A requeued job must not cut the metrics under one that still runs; when that ends, the place is free."""
    with Journal(tmp_path, CONFIG) as log:
        log.begin(start())
        with pytest.raises(ValueError, match="is in use by another process"):
            Journal(tmp_path, CONFIG, resume=True)
    go(tmp_path, resume=True)
    assert is_finished(tmp_path, CONFIG)


# --- interrupted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_a_run_stopped_in_any_epoch_goes_on_to_the_same_bits(epoch, tmp_path, undisturbed):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=epoch)
    assert len(read_metrics(tmp_path)) == epoch - 1
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


def test_a_run_stopped_again_and_again_goes_on_to_the_same_bits(tmp_path, undisturbed):
    for epoch in (2, 2, 3, 6, 6, 6):
        with pytest.raises(Interrupted):
            go(tmp_path, stop_in=epoch, resume=True)
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed
    assert len(read_manifest(tmp_path)["resumed"]) == 6


@pytest.mark.parametrize("where", ["before the first line", "at the last checkpoint", "in the middle", "at the end"])
def test_lines_beyond_the_checkpoint_are_cut_and_nothing_appears_twice(where, tmp_path, undisturbed, monkeypatch):
    """Killed after the line and before its checkpoint, with more or less of a further line on the disk."""
    epoch = {"before the first line": 1, "at the last checkpoint": 6}.get(where, 3)
    save = Checkpoints.save

    def stop(self, fit, position):
        if len(fit.records) == epoch:
            raise Interrupted
        save(self, fit, position)

    monkeypatch.setattr(Checkpoints, "save", stop)
    with pytest.raises(Interrupted):
        go(tmp_path)
    monkeypatch.undo()
    torn = {"in the middle": '{"epoch": 4, "step"', "at the end": '{"epoch": 4}'}.get(where, "")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert [line["epoch"] for line in read_metrics(tmp_path)] == list(range(1, epoch + 1))  # the torn one is no line
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed
    assert [line["epoch"] for line in read_metrics(tmp_path)] == list(range(1, EPOCHS + 1))


def test_a_damaged_checkpoint_costs_an_epoch_and_nothing_else(tmp_path, undisturbed):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=5)
    (tmp_path / "checkpoints" / "00000004" / "_METADATA").write_text("")
    with pytest.warns(RuntimeWarning, match=r"00000004 is damaged"):
        assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


def test_without_a_checkpoint_it_starts_again(tmp_path, undisturbed):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=1)
    (tmp_path / "metrics.jsonl").write_text('{"epo')
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


def test_a_place_where_nothing_is_can_be_resumed(tmp_path, undisturbed):
    assert outcome(tmp_path / "new", go(tmp_path / "new", resume=True)) == undisturbed
    assert "resumed" not in read_manifest(tmp_path / "new")


def test_a_run_started_anew_forgets_the_old_one(tmp_path, undisturbed):
    """Its checkpoints above all: resumed later, they would bring back another run."""
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=5)
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=1)
    assert not (tmp_path / "checkpoints").exists()
    assert read_metrics(tmp_path) == []
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


# --- a full disk ------------------------------------------------------------------------------------------------------


class HalfWritten:
    """A file on a disk that takes half of what it is given."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, line):
        self.file.write(line[: len(line) // 2])
        self.file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_no_room_for_a_line_of_metrics(tmp_path, undisturbed, monkeypatch):
    """Half of the line is on the disk when the error comes; what stays are the lines before."""

    real = Path.open

    def open_on_full_disk(path, *args, **kwargs):
        file = real(path, *args, **kwargs)
        return HalfWritten(file) if path.name == "metrics.jsonl" else file

    def full(epoch):
        if epoch == 4:
            monkeypatch.setattr(Path, "open", open_on_full_disk)

    with pytest.raises(OSError, match="No space left on device: the metrics end before this line") as caught:
        go(tmp_path, before=full)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3
    assert (tmp_path / "metrics.jsonl").read_text().endswith("}\n")
    assert read_manifest(tmp_path)["status"] == "failed"
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


def test_no_room_for_a_checkpoint(tmp_path, undisturbed, monkeypatch):
    with monkeypatch.context() as patch:
        write = Checkpoints._write

        def full(self, arrays, facts, begun):
            if facts["epoch"] == 3:
                raise OSError(errno.ENOSPC, "no space left for this checkpoint")
            write(self, arrays, facts, begun)

        patch.setattr(Checkpoints, "_write", full)
        with pytest.raises(OSError, match="no space left for this checkpoint"):
            go(tmp_path)
    assert (read_manifest(tmp_path)["status"], len(read_metrics(tmp_path))) == ("failed", 4)
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


def test_no_room_for_the_manifest_either_does_not_hide_the_reason(tmp_path, undisturbed, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=4, before=lambda epoch: epoch == 4 and monkeypatch.setattr(os, "replace", full))
    monkeypatch.undo()
    assert read_manifest(tmp_path)["status"] == "running"
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


# --- what is refused --------------------------------------------------------------------------------------------------


def everything_in(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_another_config_is_refused_and_nothing_is_touched(tmp_path):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=3)
    before = everything_in(tmp_path)
    other = replace(CONFIG, seed=4, train=TrainConfig(epochs=EPOCHS, batch_size=8))
    with pytest.raises(OtherConfig, match=r"train\.batch_size \(64 there, 8 here\), seed \(0 there, 4 here\)$"):
        go(tmp_path, config=other, resume=True)
    assert everything_in(tmp_path) == before


def test_a_checkpoint_of_another_config_is_refused_even_without_a_manifest(tmp_path):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=3)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(OtherConfig, match=r"checkpoint of another config: seed \(0 there, 4 here\)$"):
        go(tmp_path, config=replace(CONFIG, seed=4), resume=True)


@pytest.mark.parametrize("change", ["gone", "shorter", "edited"])
def test_metrics_that_are_not_the_checkpoints_are_refused_and_left_alone(change, tmp_path, undisturbed):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=4)
    path = tmp_path / "metrics.jsonl"
    original = path.read_bytes()
    changed = {"gone": b"", "shorter": original[:-5], "edited": original.replace(b'"epoch": 2', b'"epoch": 9')}[change]
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is not what it was when the checkpoint was saved"):
        go(tmp_path, resume=True)
    assert path.read_bytes() == changed
    path.write_bytes(original)  # as the message asks
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


def test_a_changed_environment_is_warned_of_and_recorded(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=4)
    started = read_manifest(tmp_path)["started"]
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    with pytest.warns(UserWarning, match=r"bits may differ: xla_flags \(.* then, '--xla_other=1' now\)"):
        go(tmp_path, resume=True)
    manifest = read_manifest(tmp_path)
    assert list(manifest["resumed"][0]["changed"]) == ["xla_flags"]
    assert (manifest["status"], manifest["started"]) == ("finished", started)
    assert manifest["xla_flags"] != "--xla_other=1"  # that of the start


# --- what it records --------------------------------------------------------------------------------------------------


def test_each_line_has_the_hash_of_the_parameters_after_that_epoch(tmp_path):
    seen = []
    with Journal(tmp_path, CONFIG) as log:

        def keep(now):
            seen.append((asdict(now.records[-1]), parameter_hash({"params": now.state.params})))
            log.keep(now)

        fit(log.begin(start()), epoch_of_noise, validate, 3, keep=keep)
    assert [{**line, "parameter_hash": digest} for line, digest in seen] == read_metrics(tmp_path)
    assert len({digest for _, digest in seen}) == 3


def test_the_metrics_do_not_keep_the_next_epoch_from_reusing_its_buffers(tmp_path):
    """A view of a buffer would: twice the memory."""
    with Journal(tmp_path, CONFIG, every_epoch=True) as log:
        end = fit(log.begin(start()), epoch_of_noise, validate, 1)
        log.keep(end)
        pointer = end.state.params["w"].unsafe_buffer_pointer()
        after = jax.jit(lambda p: jax.tree.map(lambda x: x + 1, p), donate_argnums=0)(end.state.params)
    assert after["w"].unsafe_buffer_pointer() == pointer


@pytest.mark.parametrize(("error", "status"), [(NonFiniteLoss(4, 2, 4, 6), "diverged"), (Interrupted("why"), "failed")])
def test_a_run_that_ends_early_says_how(error, status, tmp_path):
    with pytest.raises(type(error)), Journal(tmp_path, CONFIG):
        raise error
    manifest = read_manifest(tmp_path)
    assert manifest["status"] == status
    assert ("not finite at step 4" if status == "diverged" else "Interrupted('why')") in manifest["reason"]
    assert not is_finished(tmp_path, CONFIG)


def test_a_finished_run_is_one_of_the_same_config_and_environment(tmp_path, monkeypatch):
    assert not is_finished(tmp_path, CONFIG)
    end = go(tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest["parameter_hash"] == parameter_hash(end.best_variables)
    assert manifest["metrics_hash"] == metrics_hash(read_metrics(tmp_path))
    assert manifest["config"] == to_dict(CONFIG)
    assert is_finished(tmp_path, CONFIG)
    assert not is_finished(tmp_path, replace(CONFIG, seed=1))
    monkeypatch.setattr(record, "PACKAGES", ("numpy",))
    assert not is_finished(tmp_path, CONFIG)


# --- how often --------------------------------------------------------------------------------------------------------


def test_checkpoints_take_no_more_than_their_share_of_the_time(tmp_path, monkeypatch):
    """Epochs of one second, saves that are said to take 0.15 s: one in three may be saved at 5 %. The first comes when
    a save of an unknown price, 0.25 s, would be within its share."""
    clock, saved = [0.0], []
    monkeypatch.setattr(journal.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(Checkpoints, "save", lambda self, fit, position: saved.append(len(fit.records)))
    with Journal(tmp_path, CONFIG) as log:
        log._checkpoints.seconds = None
        now = fit(log.begin(start()), epoch_of_noise, validate, 1)
        for number in range(1, 16):
            clock[0] += 1.0
            log.keep(replace(now, records=now.records * number))
            if saved:
                log._checkpoints.seconds = 0.15
    assert saved == [5, 8, 11, 14]


def test_none_is_due_while_one_is_being_written(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FIRST_COST", 0.0)
    with Journal(tmp_path, CONFIG) as log:
        now = fit(log.begin(start()), epoch_of_noise, validate, 1)
        monkeypatch.setattr(Checkpoints, "saving", True)
        log.keep(now)
        assert log._checkpoints.epochs() == []
        monkeypatch.setattr(Checkpoints, "saving", False)
        log.keep(now)
        log._checkpoints.wait()
        assert log._checkpoints.epochs() == [1]


def test_the_metrics_are_on_the_disk_before_the_checkpoint_that_counts_on_them(tmp_path, monkeypatch):
    calls = []
    fsync, save = os.fsync, Checkpoints.save
    with Journal(tmp_path, CONFIG, every_epoch=True) as log:
        now = fit(log.begin(start()), epoch_of_noise, validate, 1)
        monkeypatch.setattr(os, "fsync", lambda handle: calls.append("fsync") or fsync(handle))
        monkeypatch.setattr(Checkpoints, "save", lambda *args: calls.append("save") or save(*args))
        log.keep(now)
        assert calls[:2] == ["fsync", "save"]
