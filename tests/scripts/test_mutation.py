"""Of two functions that are alike, the mutants of the tested one are noticed, those of the other survive."""

import json
import subprocess
import sys

import pytest

from scripts import mutants, mutation

SOURCE = '''
"""Sums: 1 + 1."""

__all__ = ["added" + "", "untested"]


def added(a: int | None, b: int) -> int | None:
    if a is None:
        raise ValueError(f"a is {a}: expected {1 + 1} or so")
    return a + b


def untested(a: int, *, b: int) -> int:
    return a + b
'''
TEST = """
import pytest
import toy
from toy import added


def test_added():
    assert added(2, 5) == 7
    with pytest.raises(ValueError, match="a is None"):
        added(None, 1)
"""
EQUIVALENT = "| Mutant | Reason |\n| --- | --- |\n| `{}` | an example |\n"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A repository of one module and its test; commit(path=text, …) adds to it."""
    pytest.importorskip("cosmic_ray")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)

    def commit(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "toy"], check=True)

    commit({"toy.py": SOURCE, "tests/test_toy.py": TEST})
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # takes half of the time
    monkeypatch.setattr(mutation, "AREAS", {"toy": mutants.Area(("toy.py",), ("tests",))})
    return commit


def test_the_untested_function_is_found_until_it_is_called_equivalent_or_tested(toy, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    settings = mutation.Mutation(area=("toy",), out=out)
    mutation.mutation(settings)
    results = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    (survivor,) = (result for result in results if result["outcome"] == "survived")
    assert survivor["line"] == SOURCE.splitlines().index("def untested(a: int, *, b: int) -> int:") + 2
    noticed = [result for result in results if result["outcome"] == "failed"]
    assert len(noticed) == len(results) - 1 >= 2  # the comparison and the sum
    assert {result["by"] for result in noticed} == {"tests/test_toy.py::test_added"}
    printed = capsys.readouterr().out
    assert f"{len(noticed) / len(results):.0%}" in printed
    assert (
        "\n".join([f"{survivor['id']}  toy.py:{survivor['line']}  {survivor['operator']}", *survivor["diff"]])
        in printed
    )

    mutation.mutation(mutation.Mutation(area=("toy",), out=out, list=True))
    assert capsys.readouterr().out == printed
    mutation.mutation(settings)  # has nothing left to do
    assert len(out.read_text(encoding="utf-8").splitlines()) == len(results)
    assert (tmp_path / "toy.py").read_text(encoding="utf-8") == SOURCE
    capsys.readouterr()

    toy({"docs/mutation.md": EQUIVALENT.format(survivor["id"])})
    mutation.mutation(settings)
    printed = capsys.readouterr().out
    assert "100%" in printed
    assert survivor["id"] not in printed
    assert [*map(str, (len(results), len(noticed), 1, 0))] == printed.splitlines()[-1].split()[2:6]

    again = mutation.Mutation(area=("toy",), out=out, again=True)
    mutation.mutation(again)
    assert len(out.read_text(encoding="utf-8").splitlines()) == len(results)  # no test can notice it, says the page
    other = TEST + "\n\ndef test_other():\n    assert toy.untested(2, b=5) == 7\n"
    toy({"tests/test_toy.py": other, "docs/mutation.md": ""})
    mutation.mutation(again)
    (last,) = out.read_text(encoding="utf-8").splitlines()[len(results) :]
    assert json.loads(last)["id"] == survivor["id"]
    assert json.loads(last)["by"] == "tests/test_toy.py::test_other"


def test_nothing_is_mutated_in_annotations_texts_of_errors_and_all():
    pytest.importorskip("cosmic_ray")
    lines = SOURCE.splitlines()
    places = {lines[mutant.start[0] - 1].strip() for mutant in mutants.mutants_of("toy.py", SOURCE)}
    assert places == {"if a is None:", "return a + b"}


def test_the_draw_is_seeded_takes_a_place_once_and_survives_an_edit_elsewhere(tmp_path):
    pytest.importorskip("cosmic_ray")
    body = "".join(f"def f{i}(a, b):\n    return a * {i} + b\n\n\n" for i in range(20))
    (tmp_path / "one.py").write_text(body, encoding="utf-8")
    count, drawn = mutants.draw(tmp_path, ["one.py"], 10, seed=0)
    assert count > 60
    assert len(drawn) == len({(mutant["line"], *mutant["diff"]) for mutant in drawn}) == 10
    assert drawn != mutants.draw(tmp_path, ["one.py"], 10, seed=1)[1]
    (tmp_path / "one.py").write_text("import math\n\n\n" + body, encoding="utf-8")
    assert [one["id"] for one in mutants.draw(tmp_path, ["one.py"], 10, seed=0)[1]] == [one["id"] for one in drawn]


def test_a_list_runs_nothing(toy, tmp_path, capsys):
    mutation.mutation(mutation.Mutation(area=("toy",), out=tmp_path / "out.jsonl", list=True))
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert int(row[1]) > 3
    assert row[2:] == ["0", "0", "0", "0"]
    assert not (tmp_path / "out.jsonl").exists()


def test_a_failure_without_any_mutant_is_an_error(toy):
    toy({"tests/test_toy.py": "def test_toy():\n    assert False\n"})
    with pytest.raises(ValueError, match=r"tests fail without any mutant: tests/test_toy.py\n"):
        mutation.mutation(mutation.Mutation(area=("toy",)))


def test_a_mutant_that_never_ends_is_stopped(toy, tmp_path):
    with mutation.copies(mutation.ROOT, 1) as free:
        source = SOURCE + "\n\nwhile True:\n    pass\n"
        mutant = {"path": "toy.py", "source": source, "id": "endless"}
        result = mutation.judge(free, mutation.AREAS["toy"], mutant, patience=2)
        assert (free.get() / "toy.py").read_text(encoding="utf-8") == SOURCE
    assert result["outcome"] == "time-out"


def test_every_source_has_tests_that_are_there():
    for area in mutants.AREAS.values():
        for pattern in area.sources:
            sources = list(mutation.ROOT.glob(pattern))
            assert sources, pattern
            for source in sources:
                path = source.relative_to(mutation.ROOT).as_posix()
                assert mutants.tests_of(mutation.ROOT, area, path), path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--area", "dat"], "area is 'dat': expected some of data, train"),
        (["--sample", "0"], "sample is 0: expected 1 or more"),
    ],
)
def test_bad_input_is_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mutation.py", *arguments])
    assert mutation.run_command(mutation.Mutation, mutation.mutation) == 2
    assert f"error: {message}" in capsys.readouterr().err
