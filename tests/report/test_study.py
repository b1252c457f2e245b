"""A directory belongs to one study: nothing that others left in it is lost, and its settings stand on the page."""

import json
from dataclasses import replace

import pytest

from convnet.architectures import MLP, Linear
from convnet.config import DataConfig, OptimConfig, RunConfig
from convnet.report import study
from tests.report.handmade import CARD, WHERE, records

SETTINGS = {"seeds": 5, "runs": {"cnn": {"train": {"epochs": 40}}, "mlp": {"train": {"epochs": 40}}}}


@pytest.fixture
def claimed(tmp_path):
    study.reserve(tmp_path / "new" / "out", "compare", SETTINGS)
    return tmp_path / "new" / "out"


def test_the_same_settings_may_come_again(claimed):
    (claimed / "results.csv").write_text("1")
    study.check_same(claimed, "compare", json.loads(json.dumps(SETTINGS)))
    study.reserve(claimed, "compare", SETTINGS)
    assert sorted(path.name for path in claimed.iterdir()) == ["plan.json", "results.csv"]


OTHERS = {
    "a number": ({**SETTINGS, "seeds": 2}, r"other settings: seeds \(5 there, 2 here\); choose another --out"),
    "one run less": ({**SETTINGS, "runs": {"cnn": SETTINGS["runs"]["cnn"]}}, r"runs\.mlp \(some there, none here\)"),
    "many": (
        {"seeds": 5, "runs": {name: {"train": {"epochs": 40}} for name in "abcdef"}},
        r"runs\.cnn \(some there, none here\), .* and 5 more",
    ),
}


@pytest.mark.parametrize(("settings", "message"), OTHERS.values(), ids=OTHERS)
def test_other_settings_are_named(claimed, settings, message):
    before = (claimed / "plan.json").read_bytes()
    for action in (study.check_same, study.reserve):
        with pytest.raises(ValueError, match=message):
            action(claimed, "compare", settings)
    assert (claimed / "plan.json").read_bytes() == before


def test_another_command_is_named(claimed):
    with pytest.raises(ValueError, match=r"holds results of another command \(compare\); choose another --out"):
        study.check_same(claimed, "ablate", SETTINGS)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_plan_that_cannot_be_read_is_kept(claimed, text):
    (claimed / "plan.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"its plan\.json cannot be read; choose another --out"):
        study.reserve(claimed, "compare", SETTINGS)
    assert (claimed / "plan.json").read_bytes() == text.encode("latin-1")


def test_files_of_somebody_are_named_and_kept(tmp_path):
    for name in "dcba":
        (tmp_path / f"{name}.txt").write_text(name)
    with pytest.raises(ValueError, match=r"holds files of something else \(a\.txt, b\.txt, c\.txt, …\); choose"):
        study.reserve(tmp_path, "compare", SETTINGS)
    assert len(list(tmp_path.iterdir())) == 4


def test_hidden_files_stand_in_nobodys_way(tmp_path):
    (tmp_path / ".gitignore").write_text("*")
    study.reserve(tmp_path, "compare", SETTINGS)
    assert (tmp_path / ".gitignore").read_text() == "*"


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match=r"out is .* cannot be written"):
        study.reserve(tmp_path / "out", "compare", SETTINGS)
    assert (tmp_path / "out").read_text() == "mine"


def test_other_settings_have_a_directory_of_their_own(tmp_path):
    usual, other = tmp_path / "digits", {**SETTINGS, "seeds": 2}
    assert study.directory(usual, SETTINGS, SETTINGS) == usual
    found = study.directory(usual, other, SETTINGS)
    assert (found.parent, found.name[:7]) == (usual.parent, "digits-")
    assert found == study.directory(usual, dict(reversed(other.items())), SETTINGS)
    assert found != study.directory(usual, {**SETTINGS, "seeds": 3}, SETTINGS)


def test_an_incomplete_report_shows_in_the_exit_code(capsys):
    assert (study.report_missing([]), study.report_missing(["Curves: could not be made"])) == (0, 1)
    assert capsys.readouterr().err == "the report is not complete: Curves: could not be made\n"


def test_the_end_of_a_study_tells_where_the_report_is(tmp_path, capsys):
    assert study.conclude(tmp_path, "a table", []) == 0
    assert study.conclude(tmp_path, "a table", ["Curves: no"]) == 1
    told = capsys.readouterr()
    assert told.out == 2 * f"a table\n\nreport: {tmp_path / 'report.html'}\n"
    assert told.err == "the report is not complete: Curves: no\n"


def test_results_are_written_with_where_they_were_found(tmp_path):
    out = tmp_path / "new" / "out"
    study.write_results(out, "found.json", {"a": [1, None]}, {"device": "abacus"}, [{"x": 1, "y": None}])
    assert json.loads((out / "found.json").read_text()) == {"environment": {"device": "abacus"}, "a": [1, None]}
    assert (out / "results.csv").read_text() == "x,y\n1,\n"
    study.write_results(tmp_path / "other", "found.json", {}, {})
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["found.json"]


# --- the card ---------------------------------------------------------------------------------------------------------


def test_circumstances_are_those_of_the_environment():
    assert study.circumstances(WHERE) == CARD
    assert study.circumstances(WHERE, "two devices")["machine"] == "two devices, 7 CPU cores, Linux-6"


def test_histories_are_runs_by_epochs():
    runs = [records((4.0, 3.0, 0.5, 9.0), (2.0, 1.0, 1.0, 9.0)), records((5.0, 6.0, 0.25, 9.0), (7.0, 8.0, 0.75, 9.0))]
    found = study.histories(runs)
    assert list(found) == list(study.CURVES)
    assert found["train_loss"].tolist() == [[4, 2], [5, 7]]
    assert found["validation_loss"].tolist() == [[3, 1], [6, 8]]
    assert found["validation_error"].tolist() == [[0.5, 1e-4], [0.75, 0.25]]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_split_into_what_differs_and_what_does_not():
    base = RunConfig()
    configs = {
        "cnn": replace(base, seed=3, data=DataConfig(flip=True, limit=500)),
        "linear": replace(base, model=Linear(), data=DataConfig(limit=500)),
    }
    differing, common = study.settings_sections(configs)
    cells = {name: values for name, *values in differing.table}
    assert cells["setting"] == ["cnn", "linear"]
    assert cells["data.flip"] == ["yes", "no"]
    assert cells["model.name"] == ["cnn", "linear"]
    assert cells["model.kernel"] == ["3", ""]
    assert differing.caption == "Empty: the model has no such setting."
    shared = dict(common.table[1:])
    assert (shared["data.limit"], shared["optim.learning_rate"], shared["optim.step_at"]) == (
        "500",
        "0.05",
        "0.5, 0.75",
    )
    assert "seed" not in shared.keys() | cells.keys()


def test_the_longer_side_of_the_table_goes_down():
    rates = (0.1, 0.2, 0.3)
    arms = {f"rate {rate}": replace(RunConfig(), optim=OptimConfig(learning_rate=rate)) for rate in rates}
    differing, _ = study.settings_sections(arms)
    assert differing.table == [["", "optim.learning_rate"], *([f"rate {rate}", f"{rate}"] for rate in rates)]


def test_one_run_has_one_table():
    (section,) = study.settings_sections({"mlp": RunConfig(model=MLP(widths=(8, 4)))})
    values = dict(section.table[1:])
    assert (section.title, values["model.widths"], values["data.limit"]) == ("Settings", "8, 4", "none")
    assert "model.kernel" not in values
