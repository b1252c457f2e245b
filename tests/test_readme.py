"""The examples of the README and of docs/ run as they stand, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
GRADIENTS = (ROOT / "docs" / "gradients.md").read_text()
SPEED = (ROOT / "docs" / "speed.md").read_text()
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
SEEING = (ROOT / "docs" / "seeing.md").read_text()
TRAINING = (ROOT / "docs" / "training.md").read_text()
EXERCISES = (ROOT / "docs" / "exercises.md").read_text()


def examples(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("code", [*examples(README), *examples(EXTENDING), *examples(SEEING)],
                         ids=["README", "table", "flax module", "parts", "op", "data", "stored", "picture",
                              "fine-tuning", "seeing"])  # fmt: skip
def test_example_runs_and_learns(code, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "example"}
    exec(code, scope)
    assert scope["result"].test_accuracy > 0.7


def test_an_op_stands_in_the_files_that_are_listed():
    listed = re.findall(r"^- \[.*?\]\(\.\./(.*?)\)", EXTENDING[EXTENDING.index("stands in five files") :], re.MULTILINE)
    holding = [
        path.relative_to(ROOT).as_posix()
        for folder in ("convnet", "experiments", "benchmarks", "scripts", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if "hard_swish" in path.read_text(encoding="utf-8") and path != Path(__file__) and "board" not in path.parts
    ]
    assert sorted(holding) == sorted([*listed, "convnet/architectures/layers.py"])
    assert len(listed) == 5


def test_example_of_an_audit_passes(capsys):
    (code,) = examples(GRADIENTS)
    scope = {"__name__": "example"}
    exec(code, scope)
    assert scope["report"].passed
    assert "of 15 stages passed" in capsys.readouterr().out


def test_example_of_a_formulation_computes_the_same():
    import jax.numpy as jnp
    import numpy as np

    from convnet import HAND

    (code,) = examples(SPEED)
    scope = {"__name__": "example"}
    exec(code, scope)
    x, w = jnp.ones((2, 6, 6, 3)), jnp.ones((3, 3, 3, 4))
    np.testing.assert_allclose(scope["ops"].conv2d(x, w), HAND.conv2d(x, w), rtol=1e-6)


def leads_somewhere(target, text, folder):
    """A path, a path#heading, or a #heading of the text itself."""
    path, _, heading = target.partition("#")
    if path:
        text = (folder / path).read_text() if heading and (folder / path).exists() else ""
    headings = [found.lower().replace(" ", "-") for found in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return (not path or (folder / path).exists()) and (not heading or heading in headings)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        (README, ROOT),
        (GRADIENTS, ROOT / "docs"),
        (SPEED, ROOT / "docs"),
        (EXTENDING, ROOT / "docs"),
        (SEEING, ROOT / "docs"),
        (TRAINING, ROOT / "docs"),
        (EXERCISES, ROOT / "docs"),
    ],
    ids=["README", "gradients", "speed", "extending", "seeing", "training", "exercises"],
)
def test_links_and_pictures_exist(text, folder):
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if "://" not in t]
    assert targets
    assert [target for target in targets if not leads_somewhere(target, text, folder)] == []
