"""The README's examples run as they stand, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("code", EXAMPLES, ids=["model", "op", "dataset"])
def test_example_runs_and_learns(code, monkeypatch):
    from convnet import models

    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    scope = {"__name__": "example"}
    exec(code, scope)
    assert scope["result"].test_accuracy > 0.7


def test_links_and_pictures_exist():
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", README) if "://" not in t]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
