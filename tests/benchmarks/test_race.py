"""The race: what racers are told, whose turn it is, what is stored when one stops, and the tables by value."""

import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import race_tables
from benchmarks.commands import race
from benchmarks.commands.race import BenchRace
from benchmarks.conversation import Conversation
from benchmarks.interleave import Gap

RUN = {"phases": {"train": 8.0, "evaluate": 2.0}, "accuracy": 0.9, "accuracy_mirror": 0.92, "accuracy_views": 0.94}
OURS = {
    "case": "ours",
    "settings": {"model": {"precision": "float32"}},
    "warm_up_seconds": 60.0,
    "gap": None,
    "runs": [RUN | {"seed": 0, "seconds": 10.0}, RUN | {"seed": 1, "seconds": 12.0, "accuracy": 0.91}],
}
TORCH = {
    "case": "torch",
    "settings": {"precision": "bfloat16"},
    "warm_up_seconds": 5.0,
    "gap": None,
    "runs": [RUN | {"seed": 1, "seconds": 18.0, "phases": {"prepare": 1.0, "train": 15.0, "evaluate": 2.0}}],
}


def test_seconds_beside_each_other():
    head, ours, torch = race_tables.time_table([OURS, TORCH])
    assert dict(zip(head, ours, strict=True)) == {
        "": "convnet, gradients by hand",
        "precision": "float32",
        "runs": "2",
        "seconds, median": "11",
        "least": "10",
        "most": "12",
        "of it training": "8",
        "÷ ours": "1.00",
        "before the clock": "60",
    }
    # Of the one seed that both have run: 18 s beside 12 s.
    assert dict(zip(head, torch, strict=True))["÷ ours"] == "1.50"
    assert dict(zip(head, torch, strict=True))["of it training"] == "16"


def test_accuracies():
    head, ours, torch = race_tables.accuracy_table([OURS, TORCH])
    found = dict(zip(head, ours, strict=True))
    assert (found["as it is, mean"], found["as it is, 95 %"]) == ("90.50", "84.15 to 96.85")
    assert (found["six views, mean"], found["six views, 95 %"]) == ("94.00", "—")
    assert dict(zip(head, torch, strict=True))["and mirrored, mean"] == "92.00"


def test_who_did_not_come_to_the_start():
    absent = TORCH | {"runs": [], "gap": "not installed (No module named 'torch')"}
    _, _, torch = race_tables.time_table([OURS, absent])
    assert torch[:4] == ["PyTorch, the same recipe", "", "0", "not measured: not installed (No module named 'torch')"]
    assert len(race_tables.accuracy_table([absent])) == 1


RACER = """
import json, os, sys
print(json.dumps({"settings": {"precision": "float32", "model": {"precision": "float32"}}, "told": sys.argv[2]}))
print(json.dumps({"warm_up_seconds": 1.0}))
for line in sys.stdin:
    seed = json.loads(line)["seed"]
    if seed == 1 and "widths" in json.loads(sys.argv[2]):
        sys.exit("broken down")
    print(json.dumps({"seed": seed, "seconds": 1.0, "phases": {"train": 1.0}, "accuracy": 0.5, "accuracy_mirror": 0.5,
                      "accuracy_views": 0.5, "process": os.getpid()}), flush=True)
"""


@pytest.fixture
def racers(monkeypatch, tmp_path):
    """Two that answer at once; torch, which is told its widths directly, breaks down in the second round."""
    (tmp_path / "racer.py").write_text(f"import sys\nsys.stdout.reconfigure(line_buffering=True)\n{RACER}")
    (tmp_path / "silent.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.setattr(race, "RACERS", {"ours": "racer", "torch": "racer"})
    monkeypatch.setattr(race, "write_arrays", lambda path, quick: path.write_bytes(b""))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_in_turns_until_one_stops(racers):
    results = {name: {"case": name, "runs": [], "gap": None} for name in ("ours", "torch")}
    order = []
    race.race(BenchRace(runs=3), results, lambda: order.append([len(r["runs"]) for r in results.values()]))
    assert [run["seed"] for run in results["ours"]["runs"]] == [0, 1, 2]
    assert [run["seed"] for run in results["torch"]["runs"]] == [0]
    assert results["torch"]["gap"] == "crashed with code 1: broken down"
    assert results["ours"]["gap"] is None
    # Stored after each run; in the second round torch would have been first.
    assert order == [[1, 0], [1, 1], [2, 1], [3, 1]]
    assert json.loads(results["torch"]["told"])["widths"] == [64, 256, 256]


def test_what_racers_are_told():
    told = BenchRace(epochs=3, widths=(8, 16, 32), ours="bfloat16", torch="autocast", compiled=False).settings()
    assert told["ours"] == {
        "model": {"widths": [8, 16, 32], "precision": "bfloat16"},
        "train": {"epochs": 3, "batch_size": 2000},
    }
    assert told["torch"] == {
        "epochs": 3, "batch_size": 2000, "widths": [8, 16, 32], "device": "cpu", "precision": "autocast",
        "iteration_precision": "fastest", "compiled": False,
    }  # fmt: skip
    quick = BenchRace(quick=True).settings()
    assert quick["torch"]["widths"] == quick["ours"]["model"]["widths"] == [8, 16, 16]
    assert quick["torch"]["compiled"] is False


def test_where_torch_computes_and_what_layers_compute_in():
    usual = BenchRace().settings()
    assert (usual["torch"]["device"], usual["torch"]["precision"], usual["torch"]["compiled"]) == (
        "cpu",
        "fastest",
        True,
    )
    assert usual["torch"]["iteration_precision"] == "fastest"
    assert BenchRace(torch="float32").settings()["torch"]["iteration_precision"] == "float32"
    assert usual["ours"] == {
        "model": {"widths": [64, 256, 256], "precision": "float32"},
        "train": {"epochs": 8, "batch_size": 2000},
    }
    assert BenchRace(device="cuda").settings()["torch"]["device"] == "cuda"


def test_who_takes_part_and_how_often(racers, tmp_path):
    assert race.main(["--racers", "ours", "--runs", "2", "--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out" / "results").glob("*/race.json")
    (ours,) = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert (ours["case"], [run["seed"] for run in ours["runs"]]) == ("ours", [0, 1])
    assert "convnet, gradients by hand" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_a_race_that_was_stopped_goes_on(racers, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def processes(*args):
        """Of the runs, by seed."""
        assert race.main(["--racers", "ours", "--out", str(out), *args]) == 0
        (path,) = (out / "results").glob("*/race.json")
        (ours,) = json.loads(path.read_text(encoding="utf-8"))["results"]
        assert [run["seed"] for run in ours["runs"]] == list(range(len(ours["runs"])))
        return [run["process"] for run in ours["runs"]]

    first = processes("--runs", "1")
    second = processes("--runs", "3")
    assert second[0] == first[0]
    assert len(set(second)) == 2
    third = processes("--runs", "3")  # it had come to its end
    assert set(third).isdisjoint(second)
    assert set(processes("--runs", "4", "--epochs", "2")).isdisjoint(third)  # another race
    again = processes("--runs", "5", "--epochs", "2")
    monkeypatch.setattr(race, "decisive", lambda: {"processor": "another"})
    elsewhere = processes("--runs", "6", "--epochs", "2")
    assert set(elsewhere).isdisjoint(again)
    monkeypatch.setattr(race.metadata, "distributions", lambda **_: [SimpleNamespace(version="of another torch")])
    assert set(processes("--runs", "7", "--epochs", "2")).isdisjoint(elsewhere)


def test_a_result_that_cannot_be_read_is_none(tmp_path):
    (tmp_path / "race.json").write_text("{")
    assert race.runs_before(BenchRace(), tmp_path / "race.json") == {}


def test_who_does_not_answer_in_time_is_out(racers, monkeypatch):
    monkeypatch.setattr(race, "RACERS", {"ours": "silent"})
    results = {"ours": {"case": "ours", "runs": [], "gap": None}}
    race.race(BenchRace(racers=("ours",), timeout=0.01), results, lambda: None)
    assert results["ours"] == {"case": "ours", "runs": [], "gap": "no answer within 0.01 s"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--racers", "keras"], "racers is 'keras': expected one of ours, torch"),
        (["--runs", "0"], "runs is 0: expected 1 or more"),
        (["--epochs", "0"], "epochs is 0: expected 1 or more"),
    ],
)
def test_refused(args, message, capsys, tmp_path):
    assert race.main([*args, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


# --- conversations ----------------------------------------------------------------------------------------------------


def talk(code, seconds=30.0):
    return Conversation([sys.executable, "-c", code], {"PATH": ""}, seconds=seconds)


def test_a_conversation():
    said = talk("print('{\"a\": 1}', flush=True)\nfor line in iter(input, ''): print(line, flush=True)")
    assert said.hello == {"a": 1}
    assert said.ask({"b": [2]}, seconds=30) == {"b": [2]}
    said.close()
    assert not said.open
    assert said.process.returncode is not None


def test_a_gap_at_the_start_ends_the_process():
    with pytest.raises(Gap, match=r"^not installed$"):
        talk('print(\'{"gap": "not installed"}\', flush=True); input()')


def test_silence_is_a_gap():
    said = talk("print('{}', flush=True)\nimport time\ntime.sleep(60)")
    with pytest.raises(Gap, match=r"^no answer within 0\.1 s$"):
        said.ask({}, seconds=0.1)
    assert not said.open


def test_a_crash_tells_its_last_line():
    said = talk("print('{}', flush=True)\ninput()\nraise SystemExit('first\\nlast line')")
    with pytest.raises(Gap, match=r"^crashed with code 1: last line$"):
        said.ask({}, seconds=30)
