"""One finished ablation for the tests of all that becomes of one."""

import json
from pathlib import Path

import pytest

from convnet.ablation import Replicates
from tests.experiments.ablations import GRID, run
from tests.pictures import unseen_pictures  # noqa: F401


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablate") / "new" / "out"
    assert run(*GRID, out=out) == 0
    return out


@pytest.fixture
def trained(monkeypatch):
    """(arm's optimiser, initialiser, seed) of every cell that is trained from now on."""
    cells, real = [], Replicates.run_all

    def run_all(self, configs, *args, **options):
        cells.extend((c.optim.name, c.model.initializer, c.seed) for c in configs)
        return real(self, configs, *args, **options)

    monkeypatch.setattr(Replicates, "run_all", run_all)
    return cells


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty directory to run in, and a file of settings."""
    monkeypatch.chdir(tmp_path)
    Path("settings.json").write_text(json.dumps({"optim": {"learning_rate": 0.375}}), encoding="utf-8")
    return monkeypatch


@pytest.fixture
def refused(tmp_path, capsys):
    """`refused(main, *args)`: the one line that the command says of bad input, which leaves nothing."""

    def line(main, *args):
        assert main([*args, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
        assert not (tmp_path / "out").exists()
        return error

    return line
