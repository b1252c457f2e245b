"""A run on disk: interrupted anywhere, it goes on to the same bits, and what it cannot go on with it refuses."""

import errno
import json
import os
import pickle
import signal
from dataclasses import asdict, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

from convnet import identity as identities
from convnet import journal
from convnet.config import RunConfig, TrainConfig
from convnet.journal import Journal, Stopped, can_go_on, is_finished
from convnet.record import metrics_hash, parameter_hash, read_manifest, read_metrics
from convnet.settings import to_dict
from convnet.signals import StopRequest
from convnet.train import Checkpoints, NonFiniteLoss, OtherRun, TrainState, fit

EPOCHS = 6
CONFIG = RunConfig(train=TrainConfig(epochs=EPOCHS))
IDENTITY = {"config": to_dict(CONFIG), "data": {"digest": "d"}, "programs": {"epoch": "p"}}
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


def go(path, *, stop_in=0, identity=IDENTITY, before=lambda epoch: None, **options):
    """Train in `path`; in epoch `stop_in` stop before anything of it is written down. before(epoch): called there."""
    with Journal(path, identity, **{"every_epoch": True, **options}) as log:

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
    with Journal(tmp_path, IDENTITY) as log:
        log.begin(start())
        with pytest.raises(ValueError, match="is in use by another process"):
            Journal(tmp_path, IDENTITY, resume=True)
    go(tmp_path, resume=True)
    assert is_finished(tmp_path, IDENTITY)


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
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert read_metrics(tmp_path) == []
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


# --- asked to stop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every_epoch", [True, False])
def test_a_run_that_is_asked_to_stop_saves_the_epoch_and_goes_on_to_the_same_bits(every_epoch, tmp_path, undisturbed):
    """However far the latest checkpoint is away."""
    stop = StopRequest()

    def ask(epoch):
        if epoch == 3:
            stop.ask(15)

    with pytest.raises(Stopped, match=r"^stopped after epoch 3 of 6, saved$") as caught:
        go(tmp_path, stop=stop, before=ask, every_epoch=every_epoch)
    assert (caught.value.epoch, caught.value.saved, caught.value.signal) == (3, True, 15)
    manifest = read_manifest(tmp_path)
    assert (manifest["status"], manifest["at_epoch"]) == ("stopped", 3)
    assert len(read_metrics(tmp_path)) == 3
    seen = []
    assert outcome(tmp_path, go(tmp_path, resume=True, before=seen.append)) == undisturbed
    assert seen == [4, 5, 6]


def test_a_request_in_the_last_epoch_comes_too_late_to_lose_anything(tmp_path, undisturbed):
    stop = StopRequest()
    end = go(tmp_path, stop=stop, before=lambda epoch: epoch == EPOCHS and stop.ask())
    assert outcome(tmp_path, end) == undisturbed
    assert is_finished(tmp_path, IDENTITY)


def test_a_run_that_can_go_on_to_the_same_bits(tmp_path, monkeypatch):
    assert not can_go_on(tmp_path, IDENTITY)
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=3)
    assert can_go_on(tmp_path, IDENTITY)
    with pytest.raises(OtherRun, match="another run"):
        can_go_on(tmp_path, OTHERS["data"][0])
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    with pytest.warns(RuntimeWarning, match=r"begins anew, its bits would be others: flags\.XLA_FLAGS") as warned:
        assert not can_go_on(tmp_path, IDENTITY)
    assert [warning.filename for warning in warned] == [__file__]  # whoever asked


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
        write = Checkpoints.write

        def full(self, arrays, facts, begun):
            if facts["epoch"] == 3:
                raise OSError(errno.ENOSPC, "no space left for this checkpoint")
            write(self, arrays, facts, begun)

        patch.setattr(Checkpoints, "write", full)
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


OTHERS = {
    "config": (
        IDENTITY | {"config": to_dict(replace(CONFIG, seed=4, train=TrainConfig(epochs=EPOCHS, batch_size=8)))},
        r"another run: config\.train\.batch_size \(64 then, 8 now\), config\.seed \(0 then, 4 now\)$",
    ),
    "data": (IDENTITY | {"data": {"digest": "e"}}, r"another run: data\.digest \('d' then, 'e' now\)$"),
    "ops": (IDENTITY | {"computes": {"ops": "mine"}}, r"another run: computes \(None then, \{'ops': 'mine'\} now\)$"),
}


@pytest.mark.parametrize(("identity", "message"), OTHERS.values(), ids=OTHERS)
def test_another_run_is_refused_and_nothing_is_touched(identity, message, tmp_path):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=3)
    before = everything_in(tmp_path)
    for options in ({}, {"accept_changes": True}):
        with pytest.raises(OtherRun, match=message):
            go(tmp_path, identity=identity, resume=True, **options)
    assert everything_in(tmp_path) == before
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(OtherRun, match=f"is a checkpoint of {message}"):
        go(tmp_path, identity=identity, resume=True)


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


def test_a_run_that_would_go_on_to_other_bits_is_refused(tmp_path, monkeypatch, undisturbed):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=4)
    before = everything_in(tmp_path)
    with pytest.raises(OtherRun, match=r"have other bits now: programs\.epoch \('p' then, 'q' now\)$"):
        go(tmp_path, identity=IDENTITY | {"programs": {"epoch": "q"}}, resume=True)
    threads = read_manifest(tmp_path)["threads"]
    monkeypatch.setenv("PJRT_NPROC", "99")
    if threads is not None:
        message = rf"other bits now: threads \({threads} then, 99 now\); PJRT_NPROC={threads} gives"
        with pytest.raises(OtherRun, match=message):
            go(tmp_path, resume=True)
    monkeypatch.undo()
    assert everything_in(tmp_path) == before
    assert outcome(tmp_path, go(tmp_path, resume=True)) == undisturbed


def test_a_change_may_be_accepted_and_is_recorded(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        go(tmp_path, stop_in=4)
    started = read_manifest(tmp_path)
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    with pytest.warns(UserWarning, match=r"bits may differ: flags\.XLA_FLAGS \(.* then, '--xla_other=1' now\)"):
        go(tmp_path, resume=True, accept_changes=True)
    manifest = read_manifest(tmp_path)
    assert list(manifest["resumed"][0]["changed"]) == ["flags.XLA_FLAGS"]
    assert (manifest["status"], manifest["started"]) == ("finished", started["started"])
    assert manifest["flags"] == started["flags"]
    monkeypatch.undo()
    assert not is_finished(tmp_path, IDENTITY)  # half of it has other bits, whatever holds now
    assert is_finished(tmp_path, IDENTITY, accept_changes=True)


def test_the_threads_of_a_run_are_taken_before_jax_starts(tmp_path, monkeypatch):
    """Of the run itself, or of the first one in a directory of runs; where there is none, nothing is."""
    taken = []
    monkeypatch.setattr(journal, "use_threads", taken.append)
    journal.take_threads(tmp_path / "none")
    go(tmp_path / "runs" / "one")
    manifest = tmp_path / "runs" / "one" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"threads": 7}))
    journal.take_threads(tmp_path / "runs" / "one")
    journal.take_threads(tmp_path / "runs")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"threads": None}))  # of an accelerator
    journal.take_threads(tmp_path / "runs")
    assert taken == [7, 7]


# --- what it records --------------------------------------------------------------------------------------------------


def test_each_line_has_the_hash_of_the_parameters_after_that_epoch(tmp_path):
    seen = []
    with Journal(tmp_path, IDENTITY) as log:

        def keep(now):
            seen.append((asdict(now.records[-1]), parameter_hash({"params": now.state.params})))
            log.keep(now)

        fit(log.begin(start()), epoch_of_noise, validate, 3, keep=keep)
    assert [{**line, "parameter_hash": digest} for line, digest in seen] == read_metrics(tmp_path)
    assert len({digest for _, digest in seen}) == 3


def test_the_metrics_do_not_keep_the_next_epoch_from_reusing_its_buffers(tmp_path):
    """A view of a buffer would: twice the memory."""
    with Journal(tmp_path, IDENTITY, every_epoch=True) as log:
        end = fit(log.begin(start()), epoch_of_noise, validate, 1)
        log.keep(end)
        pointer = end.state.params["w"].unsafe_buffer_pointer()
        after = jax.jit(lambda p: jax.tree.map(lambda x: x + 1, p), donate_argnums=0)(end.state.params)
    assert after["w"].unsafe_buffer_pointer() == pointer


@pytest.mark.parametrize(("error", "status"), [(NonFiniteLoss(4, 2, 4, 6), "diverged"), (Interrupted("why"), "failed")])
def test_a_run_that_ends_early_says_how(error, status, tmp_path):
    with pytest.raises(type(error)), Journal(tmp_path, IDENTITY):
        raise error
    manifest = read_manifest(tmp_path)
    assert manifest["status"] == status
    assert ("not finite at step 4" if status == "diverged" else "Interrupted('why')") in manifest["reason"]
    assert not is_finished(tmp_path, IDENTITY)


def test_what_fails_after_the_end_does_not_undo_it(tmp_path):
    log = Journal(tmp_path, IDENTITY)
    end = fit(log.begin(start()), epoch_of_noise, validate, 1, keep=log.keep)
    log.finish(end.best_variables)
    with pytest.raises(Interrupted), log:
        raise Interrupted
    assert read_manifest(tmp_path)["status"] == "finished"
    assert "reason" not in read_manifest(tmp_path)
    assert is_finished(tmp_path, IDENTITY)


def test_a_finished_run_is_one_of_the_same_config_and_environment(tmp_path, monkeypatch):
    assert not is_finished(tmp_path, IDENTITY)
    end = go(tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest["parameter_hash"] == parameter_hash(end.best_variables)
    assert manifest["metrics_hash"] == metrics_hash(read_metrics(tmp_path))
    assert manifest["config"] == to_dict(CONFIG)
    assert is_finished(tmp_path, IDENTITY)
    for identity, _ in OTHERS.values():
        assert not is_finished(tmp_path, identity)
        assert not is_finished(tmp_path, identity, accept_changes=True)
    monkeypatch.setattr(identities, "PACKAGES", ("numpy",))
    assert not is_finished(tmp_path, IDENTITY)
    assert is_finished(tmp_path, IDENTITY, accept_changes=True)


# --- how often --------------------------------------------------------------------------------------------------------


def test_checkpoints_take_no_more_than_their_share_of_the_time(tmp_path, monkeypatch):
    """Epochs of one second, saves that are said to take 0.15 s: one in three may be saved at 5 %. The first comes when
    a save of an unknown price, 0.25 s, would be within its share."""
    clock, saved = [0.0], []
    monkeypatch.setattr(journal.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(Checkpoints, "save", lambda self, fit, position: saved.append(len(fit.records)))
    with Journal(tmp_path, IDENTITY) as log:
        log.checkpoints.seconds = None
        now = fit(log.begin(start()), epoch_of_noise, validate, 1)
        for number in range(1, 16):
            clock[0] += 1.0
            log.keep(replace(now, records=now.records * number))
            if saved:
                log.checkpoints.seconds = 0.15
    assert saved == [5, 8, 11, 14]


def test_none_is_due_while_one_is_being_written(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FIRST_COST", 0.0)
    with Journal(tmp_path, IDENTITY) as log:
        now = fit(log.begin(start()), epoch_of_noise, validate, 1)
        monkeypatch.setattr(Checkpoints, "saving", True)
        log.keep(now)
        assert log.checkpoints.epochs() == []
        monkeypatch.setattr(Checkpoints, "saving", False)
        log.keep(now)
        log.checkpoints.wait()
        assert log.checkpoints.epochs() == [1]


def test_the_metrics_are_on_the_disk_before_the_checkpoint_that_counts_on_them(tmp_path, monkeypatch):
    calls = []
    fsync, save = os.fsync, Checkpoints.save
    with Journal(tmp_path, IDENTITY, every_epoch=True) as log:
        now = fit(log.begin(start()), epoch_of_noise, validate, 1)
        monkeypatch.setattr(os, "fsync", lambda handle: calls.append("fsync") or fsync(handle))
        monkeypatch.setattr(Checkpoints, "save", lambda *args: calls.append("save") or save(*args))
        log.keep(now)
        assert calls[:2] == ["fsync", "save"]


def test_that_a_run_stopped_can_be_told_to_another_process():
    stopped = pickle.loads(pickle.dumps(Stopped(2, 5, saved=True, signal=signal.SIGTERM)))
    assert isinstance(stopped, Stopped)
    assert str(stopped) == "stopped after epoch 2 of 5, saved"
    assert (stopped.epoch, stopped.epochs, stopped.saved, stopped.signal) == (2, 5, True, signal.SIGTERM)
