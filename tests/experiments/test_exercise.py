"""The command that judges an exercise: what it says of every kind of file, and the codes it ends with."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from convnet.experiments import exercise

from convnet.exercises import EXERCISES, function_in
from tests.exercises import correlation, cross_entropy, glorot, max_pool, momentum, occlusion_map, receptive_field

ROOT = Path(__file__).resolve().parents[2]
RIGHT = {
    1: correlation.correlate,
    2: correlation.gradients,
    3: max_pool.right,
    4: cross_entropy.right,
    5: glorot.right,
    6: momentum.right,
    7: receptive_field.right,
    8: occlusion_map.drops,
}


def written(path, body):
    """A file with the function of exercise 7."""
    path.write_text(f"def receptive_field(layers):\n    {body}\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "mine.py"


@pytest.fixture
def judged(mine, capsys):
    """judged(body) -> exit code, output, errors."""

    def run(body):
        code = exercise.main(["7", "--file", written(mine, body)])
        return code, *capsys.readouterr()

    return run


def test_right(judged, mine):
    source = Path(receptive_field.__file__).read_text().partition("def right(layers):\n    ")[2].partition("\n\n\n")[0]
    code, out, err = judged(source)
    assert (code, err) == (0, "")
    assert out == (
        f"Exercise 7, the arithmetic of receptive fields ({mine}): right in all 10 cases, equal to "
        "convnet.ops.receptive_field\n\nThe library's own stands in convnet/ops/window.py.\n"
    )


def test_wrong(judged, mine):
    code, out, err = judged("return 1 + sum(k for k, _, _ in layers), 1, 0")
    assert (code, err) == (1, "")
    assert out.startswith(
        f"Exercise 7, the arithmetic of receptive fields ({mine}):\n\n"
        "  right  1. no layer: a pixel sees itself\n  wrong  2. one kernel of 3\n"
    )
    assert "\n  size         3      4\n" in out


def test_not_written(judged, mine):
    code, out, err = judged("raise NotImplementedError")
    assert (code, err) == (2, "")
    assert out == f"Exercise 7, the arithmetic of receptive fields ({mine}): not written yet\n"


def test_an_exception_is_told_with_its_line(judged):
    code, out, err = judged("size = 1\n    return layers[0]")
    assert (code, err) == (1, "")
    assert "\nCase 1, raises IndexError: tuple index out of range (line 3: return layers[0])\n" in out


BAD_FILES = {
    "no Python": ("def receptive_field(layers:\n", "mine.py is not Python: '(' was never closed (line 1)"),
    "an error at once": ("import os\n1 / 0\n", "cannot be run: ZeroDivisionError: division by zero (line 2: 1 / 0)"),
    "a missing package": ("import no_such\n", "run: ModuleNotFoundError: No module named 'no_such' (line 1: "),
    "its end": ("raise SystemExit(0)\n", "cannot be run: SystemExit: 0 (line 1: "),
    "another function": ("def field(layers):\n    return 1\n", "mine.py has no function receptive_field"),
    "no function": ("receptive_field = 3\n", "mine.py has no function receptive_field"),
    "no text": (b"\xff\xfe\x00", "mine.py"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_cannot_be_judged_is_refused_in_a_line(kind, mine, capsys):
    content, said = BAD_FILES[kind]
    mine.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert exercise.main(["7", "--file", str(mine)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_and_a_directory_are_refused(tmp_path, capsys):
    assert exercise.main(["7", "--file", str(tmp_path / "none.py")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none.py'} cannot be read: No such file or directory\n"
    assert exercise.main(["7", "--file", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} cannot be read: Is a directory\n"


def test_an_unknown_number_lists_the_eight(capsys):
    for number in ("0", "9", "-1"):
        assert exercise.main([number]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: number is {number}: expected one of 1 the cross-correlation")
        assert all(f"{one.number} {one.title}" in err for one in EXERCISES.values())


def test_a_file_without_a_number_is_refused(mine, capsys):
    assert exercise.main(["--file", str(mine)]) == 2
    assert "expected the number of an exercise before it" in capsys.readouterr().err


def test_what_is_written_anew_is_read_anew(mine):
    """Within a second, and of one length: no bytecode of the first stands in for the second."""
    values = []
    for value in (1, 2):
        written(mine, f"return {value}")
        values.append(function_in(mine, "receptive_field")(()))
    assert values == [1, 2]
    assert list(mine.parent.iterdir()) == [mine]


def test_a_file_may_have_dataclasses_and_imports(mine):
    mine.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Field:\n"
        "    size: int\n\ndef receptive_field(layers):\n    return Field(3)\n"
    )
    assert function_in(mine, "receptive_field")(()).size == 3


# --- the files that are to be written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("one", EXERCISES.values(), ids=lambda one: one.file)
def test_the_file_is_as_it_was_shipped(one):
    """But for a reader who has written it, which git knows."""
    path = exercise.SHIPPED / one.file
    changed = subprocess.run(["git", "status", "--porcelain", "--", path], cwd=ROOT, capture_output=True, text=True)
    if changed.stdout.startswith(" M"):
        pytest.skip("somebody has written it")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f'"""Exercise {one.number}: {one.title.partition(" of ")[0]}')
    assert f"`make exercise N={one.number}`" in text
    assert text.count("raise NotImplementedError") == 1
    with pytest.raises(NotImplementedError):
        function_in(path, one.function)(*one.cases[0].args)


def test_there_is_no_file_without_an_exercise():
    assert sorted(path.name for path in exercise.SHIPPED.glob("*")) == sorted(one.file for one in EXERCISES.values())


EXAMPLES = {
    1: "[[11. 14.]\n [20. 23.]]\n",
    2: "[[ 1.  0.  0.]\n [ 0. 12.  0.]\n [ 0.  0. 20.]]\n\n[[51. 62.]\n [84. 95.]]\n",
    3: "[[   0.    1.    0.]\n [   0.  100. 1010.]\n [   0.    0.    0.]]\n",
    4: "[[-0.333  0.167  0.167]\n [ 0.167  0.167 -0.333]]\n",
    5: "1.0 0.3333333333333333\n",
    6: "(array([-1.]), array([4.]))\n",
    7: "(1, 1, 0) (7, 2, -1)\n",
    8: "[[12.  9.]\n [15.  9.]]\n",
}


@pytest.mark.parametrize("one", EXERCISES.values(), ids=lambda one: one.file)
def test_the_example_comes_out_where_the_function_is_right(one, capsys):
    source = (exercise.SHIPPED / one.file).read_text(encoding="utf-8")
    example = source.partition('if __name__ == "__main__":')[2].partition("\n")[2]
    lines = "\n".join(line.removeprefix("    ") for line in example.splitlines())
    with np.printoptions(precision=3, suppress=True):
        exec(lines, {"np": np, one.function: RIGHT[one.number]})
    assert capsys.readouterr().out == EXAMPLES[one.number]


def test_all_of_them_in_a_list(monkeypatch, tmp_path, capsys):
    for one in EXERCISES.values():
        (tmp_path / one.file).write_text(f"def {one.function}(*args):\n    raise NotImplementedError\n")
    monkeypatch.setattr(exercise, "SHIPPED", tmp_path)
    assert exercise.main([]) == 2
    assert capsys.readouterr().out.count("not written yet\n") == 8
    written(tmp_path / "7_receptive_field.py", "return 1, 1, 0")
    (tmp_path / "6_momentum_step.py").write_text("def momentum_step(:\n")
    assert exercise.main([]) == 1
    out = capsys.readouterr().out
    assert "wrong in 9 of 10 cases\n" in out
    assert "6_momentum_step.py is not Python: " in out
    assert out.count("not written yet\n") == 6


# --- where the package is installed -----------------------------------------------------------------------------------


def test_an_installed_package_judges_a_copy_that_is_made_once(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exercise, "CHECKOUT", False)
    assert exercise.main(["7"]) == 2
    assert "(exercises/7_receptive_field.py): not written yet" in capsys.readouterr().out
    copy = tmp_path / "exercises" / "7_receptive_field.py"
    assert copy.read_bytes() == (exercise.SHIPPED / copy.name).read_bytes()
    written(copy, "return 1, 1, 0")
    assert exercise.main(["7"]) == 1
    assert copy.read_text().endswith("return 1, 1, 0\n")
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_this_is_a_checkout():
    assert exercise.CHECKOUT
    assert exercise.SHIPPED == ROOT / "experiments" / "exercises"
