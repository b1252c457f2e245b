"""Cells of an ablation, from directories that were written by hand. Nothing is trained."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from convnet.ablation import Arm
from convnet.ablation.cells import (
    WHICH_IMAGES,
    Cell,
    Done,
    Work,
    cells_of,
    check_comparable,
    dataset_of,
    parse_shard,
    read,
)
from convnet.ablation.grid import apply
from convnet.architectures import Linear
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.identity import decisive
from convnet.settings import content_hash, to_dict
from convnet.train import EpochRecord

BASE = RunConfig(DataConfig("digits", limit=200), Linear(), train=TrainConfig(epochs=2, batch_size=20))
RECORDS = tuple(EpochRecord(n, 10 * n, 0.1 * n, 0.2, 0.3, 0.4, 0.5, 0.6) for n in (1, 2))


def arm(name, **settings):
    return Arm(name, {}, apply(BASE, settings))


def done(diverged=False, records=RECORDS, **facts):
    return Done(Cell(arm("a"), 3, None), diverged, facts, records)


@pytest.fixture
def cell(tmp_path):
    """A cell of two epochs that finished."""
    cell = Cell(arm("a"), 3, tmp_path / "cell")
    cell.path.mkdir()
    write(cell, RECORDS)
    return cell


def write(cell, records, **facts):
    manifest = {"status": "finished", "config": to_dict(cell.config)} | facts
    (cell.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    lines = [json.dumps(asdict(record) | {"parameter_hash": "0"}) + "\n" for record in records]
    (cell.path / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")


def test_a_cell_is_an_arm_with_a_seed_in_a_directory_of_its_own(tmp_path):
    arms = [arm("a"), arm("b", **{"optim.name": "sgd"})]
    cells = cells_of(arms, iter((0, 1)), tmp_path)
    assert [(one.arm.name, one.seed) for one in cells] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    for one in cells:
        assert one.config == replace(one.arm.config, seed=one.seed)
        assert one.path == tmp_path / "cells" / content_hash(one.config)
    assert len({one.path for one in cells}) == 4


def test_a_finished_cell_is_read(cell):
    found = read(cell)
    assert (found.cell, found.diverged, found.records) == (cell, False, RECORDS)
    assert found.facts["status"] == "finished"


def test_a_diverged_cell_is_read_however_short(cell):
    write(cell, RECORDS[:1], status="diverged")
    found = read(cell)
    assert (found.diverged, found.records) == (True, RECORDS[:1])


@pytest.mark.parametrize("records", [RECORDS[:1], RECORDS * 2])
def test_a_finished_cell_of_too_few_or_too_many_epochs_is_done_again(cell, records):
    write(cell, records)
    assert read(cell) is None


@pytest.mark.parametrize("facts", [{"status": "running"}, {"status": "failed"}, {"config": to_dict(BASE)}])
def test_what_is_not_finished_or_of_another_config_is_done_again(cell, facts):
    write(cell, RECORDS, **facts)
    assert read(cell) is None


def test_metrics_that_are_missing_or_lack_a_figure_are_done_again(cell):
    (cell.path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n', encoding="utf-8")
    assert read(cell) is None
    (cell.path / "metrics.jsonl").unlink()
    assert read(cell) is None


# --- what it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "images", "hits"),
    [
        ({"test_images": 8, "test_hits": 5}, 8, 5),
        ({"test_images": 8, "data": {"sizes": {"test": 9}}, "test_hits": 0}, 8, 0),
        ({"data": {"sizes": {"test": 8}}, "test_accuracy": 0.625}, 8, 5),
        ({"test_images": 359, "test_accuracy": 0.9721448421478271}, 359, 349),
        ({"test_hits": 5}, None, 5),
    ],
)
def test_hits_are_those_written_down_or_counted_from_the_mean(facts, images, hits):
    assert (done(**facts).test_images, done(**facts).test_hits) == (images, hits)


def test_what_diverged_has_no_hits():
    assert done(diverged=True, test_images=8).test_hits is None


def test_a_mean_of_an_unknown_number_of_images_is_refused():
    cell = Cell(arm("a"), 0, Path("cells", "abc"))
    with pytest.raises(ValueError, match=r"^cell abc tells of no test_hits, nor of how many test images there were"):
        _ = Done(cell, False, {"test_accuracy": 0.5}, RECORDS).test_hits


RESULT = {"parameter_hash": "p", "test_loss": 0.5, "test_hits": 5}
PROGRAM = {"programs": {"b": "2", "a": "1"}, "data": {"digest": "d"}, "replicates": 0}


def test_a_cell_is_known_by_what_it_computed_and_by_what_came_of_it():
    by_program, by_result = (3, 0, ("a", "1"), ("b", "2"), "d", 2), (3, "p", 0.5, 5)
    assert done(**RESULT, **PROGRAM).fingerprints == {by_program, by_result}
    assert done(**RESULT, **PROGRAM, traced=["optim.momentum"]).fingerprints == {by_result}
    assert done(**RESULT, **PROGRAM | {"data": None}).fingerprints == {by_result}
    assert done(**RESULT).fingerprints == {by_result}
    assert done(diverged=True, **PROGRAM).fingerprints == {by_program}
    assert done(diverged=True).fingerprints == frozenset()


# --- comparable -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here():
    """What a cell that was finished here and now says of itself."""
    return decisive() | {"data": dataset_of(BASE).description}


def test_cells_of_here_and_now_are_comparable(here, tmp_path):
    check_comparable([Done(Cell(arm("a"), 0, tmp_path), False, here, RECORDS)] * 2)
    check_comparable([])


@pytest.mark.parametrize("name", ["packages", "python", "flags", "jax", "code", "data"])
def test_a_cell_of_other_code_versions_or_data_is_refused_by_name(name, here, tmp_path):
    other = Done(Cell(arm("a"), 0, tmp_path / "abc"), False, here | {name: "other"}, RECORDS)
    with pytest.raises(ValueError, match=rf"cannot be compared with \(abc: {name}.*\): choose another --out"):
        check_comparable([replace(other, facts=here), other])


def test_the_machine_may_be_another(here, tmp_path):
    other = here | {"device": "abacus", "processor": None, "threads": 77, "devices": 5}
    check_comparable([Done(Cell(arm("a"), 0, tmp_path), False, other, RECORDS)])


# --- work -------------------------------------------------------------------------------------------------------------


def test_every_setting_of_data_decides_which_images_there_are_or_how_they_are_varied():
    varied = {"shift", "flip", "crop", "alternate", "border", "views"}
    assert {*WHICH_IMAGES, *varied} == {field.name for field in fields(DataConfig)}
    assert not varied & {*WHICH_IMAGES}


def test_data_are_loaded_once():
    assert dataset_of(BASE) is dataset_of(replace(BASE, seed=4))
    varied = DataConfig(
        BASE.data.name, BASE.data.limit, shift=1, flip=True, alternate=True, border="reflect", views="mirror"
    )
    assert dataset_of(BASE) is dataset_of(replace(BASE, data=varied))
    assert len(dataset_of(BASE).train) == 200
    assert len(dataset_of(replace(BASE, data=DataConfig("digits", limit=100))).train) == 100


def groups(arms, *, traced, tmp_path):
    work = Work.of(cells_of(arms, (0, 1), tmp_path), traced=traced)
    assert work.epochs == sum(2 * one.config.train.epochs for one in arms)
    return [[(cell.arm.name, cell.seed) for cell in group] for group in work.groups]


def test_cells_that_share_a_program_are_one_group(tmp_path):
    rates = [arm(f"{rate}", **{"optim.learning_rate": rate}) for rate in (0.1, 0.2)]
    smooth = arm("smooth", **{"train.label_smoothing": 0.1})
    other = arm("long", **{"train.epochs": 3})
    both = [[(one.name, 0), (one.name, 1)] for one in (*rates, smooth, other)]
    assert groups([*rates, smooth, other], traced=False, tmp_path=tmp_path) == both
    one, two, three, four = both
    assert groups([*rates, smooth, other], traced=True, tmp_path=tmp_path) == [one + two + three, four]


def test_a_loss_without_smoothing_has_a_program_of_its_own(tmp_path):
    hinges = [arm(f"{rate}", **{"train.loss": "crammer_singer", "optim.learning_rate": rate}) for rate in (0.1, 0.2)]
    names = [(one.name, seed) for one in hinges for seed in (0, 1)]
    assert groups([*hinges, arm("softmax")], traced=True, tmp_path=tmp_path) == [
        names,
        [("softmax", 0), ("softmax", 1)],
    ]


def test_a_config_that_does_not_fit_its_data_is_refused_before_anything_is_compiled(tmp_path):
    with pytest.raises(ValueError, match=r"train.batch_size is 201: expected at most the 200 training examples"):
        groups([arm("a"), arm("b", **{"train.batch_size": 201})], traced=False, tmp_path=tmp_path)


def test_half_of_slurms_variables_are_no_job_array():
    assert parse_shard(None, {"SLURM_ARRAY_TASK_ID": "3"}) == (1, 1)
    assert parse_shard(None, {"SLURM_ARRAY_TASK_COUNT": "3"}) == (1, 1)
    assert parse_shard(None, {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3"}) == (2, 3)
