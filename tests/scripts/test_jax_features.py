"""The table of ops × what JAX offers: how it is written, and that the stored one is complete and has nothing red."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from convnet.gradcheck import features
from convnet.gradcheck.evidence import EVIDENCE
from convnet.gradcheck.features import FEATURES, Feature, Outcome
from scripts import jax_features

ROOT = Path(__file__).resolve().parents[2]
PAGE = jax_features.PAGE.read_text(encoding="utf-8")
TWO = (Feature("vmap", "three points", None), Feature("export", "a symbol", None))


def test_signs_and_reasons():
    found = {
        "relu": [Outcome("vmap", "works"), Outcome("export", "impossible", "no batch")],
        "tanh": [Outcome("vmap", "fails", "off by 1"), Outcome("export", "impossible", "no batch")],
        "silu": [Outcome("vmap", "untested", "no use"), Outcome("export", "works")],
    }
    assert jax_features.table(found, TWO).splitlines() == [
        "1. **vmap**: three points",
        "2. **export**: a symbol",
        "",
        "| op | 1 | 2 |",
        "| --- | :---: | :---: |",
        "| `relu` | ✓ | – |",
        "| `tanh` | ✗ | – |",
        "| `silu` |   | ✓ |",
    ]
    assert jax_features.reasons(found) == ["- export: no batch (`relu`, `tanh`)", "- vmap: off by 1 (`tanh`)"]


def test_only_what_stands_between_the_marks_is_exchanged():
    text = f"before\n{jax_features.START}\nold\n{jax_features.END}\nafter\n"
    assert jax_features.replaced(text, "new") == text.replace("\nold\n", "\n\nnew\n\n")


def test_what_fails_ends_with_an_error(monkeypatch, capsys):
    monkeypatch.setattr(jax_features, "FEATURES", TWO[:1])
    outcomes = {"relu": Outcome("vmap", "works"), "tanh": Outcome("vmap", "fails", "off by 1")}
    monkeypatch.setattr(jax_features.suite, "feature_outcome", lambda op, feature: outcomes[op])
    monkeypatch.setattr(jax_features.jax.config, "update", lambda *_: None)
    assert jax_features.survey(jax_features.JaxFeatures(op=("relu",))) == 0
    assert jax_features.survey(jax_features.JaxFeatures(op=("relu", "tanh"))) == 1
    assert "- vmap: off by 1 (`tanh`)" in capsys.readouterr().out
    assert jax_features.PAGE.read_text(encoding="utf-8") == PAGE  # a selection is not written


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"op": ("conv3d",)}, "op is 'conv3d': expected one of conv2d, "),
     ({"feature": ("autograd",)}, "feature is 'autograd': expected one of jit, ")],
    ids=["op", "feature"],
)  # fmt: skip
def test_an_unknown_name_is_refused(setting, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        jax_features.survey(jax_features.JaxFeatures(**setting))


def test_an_unknown_name_is_one_line():
    command = [sys.executable, "-m", "scripts.jax_features", "--op", "conv3d"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: op is 'conv3d': expected one of conv2d, ")
    assert len(done.stderr.splitlines()) == 1


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_has_an_op_a_row_and_every_feature():
    assert re.findall(r"^\d+\. \*\*(.+?)\*\*: (.+)$", PAGE, re.MULTILINE) == [(f.name, f.what) for f in FEATURES]
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {row[0].strip(" `") for row in rows} <= set(EVIDENCE)
    assert len(rows) == len({row[0] for row in rows}) >= 29
    assert {len(row) for row in rows} == {1 + len(FEATURES)}


def test_nothing_is_red_and_what_cannot_be_had_is_explained():
    table = PAGE[PAGE.index(jax_features.START) : PAGE.index(jax_features.END)]
    assert "✗" not in table
    signs = [sign.strip() for line in table.splitlines() if line.startswith("| `") for sign in line.split("|")[2:-1]]
    assert set(signs) == {"✓", "–", ""}
    ops = sum(line.count("`") // 2 for line in table.splitlines() if line.startswith("- "))
    assert signs.count("–") == ops


def test_its_example_runs(monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    few = [feature for feature in FEATURES if feature.name in ("jit", "vmap", "export")]
    monkeypatch.setattr(features, "FEATURES", few)
    exec(code, {"__name__": "example"})
    assert capsys.readouterr().out.splitlines() == ["jit: works", "vmap: works", "export: works"]


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert targets
    assert [target for target in targets if not (jax_features.PAGE.parent / target).exists()] == []
    assert "docs/jax_features.md" in (jax_features.PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
