"""The command line: what is refused in one line, and that no message ends what is done."""

import io
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import jax
import pytest

from convnet.cli import run_command
from convnet.config import OptimConfig
from convnet.journal import Stopped
from convnet.settings import require


@dataclass(frozen=True)
class Settings:
    """What the tests ask for."""

    optim: OptimConfig = field(default_factory=OptimConfig)
    seeds: int = 1
    """How many."""
    planted: bool = True
    """Judge the planted rules."""
    quick: bool = False
    """A check that everything runs."""
    out: Path | None = None
    """Directory of the results."""

    def __post_init__(self):
        require(self.seeds >= 1, "seeds", self.seeds, "1 or more")


def outcome(run, args=(), **options):
    """Exit code, whether it is returned or raised."""
    try:
        return run_command(Settings, run, list(args), **options)
    except SystemExit as exit:
        return exit.code


def raising(error):
    def run(settings):
        raise error

    return run


@pytest.mark.parametrize("args", [["--out", ""], ["--out="], ["--out", " "], ["--seeds", "2", "--out", ""]])
def test_an_empty_value_is_no_directory(args, capsys):
    ran = []
    assert outcome(ran.append, args) == 2
    assert capsys.readouterr().err == f"error: --out is {args[-1].removeprefix('--out=')!r}: expected a value\n"
    assert ran == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--seeds", "0"], "seeds is 0: expected 1 or more"),
        (["--optim.learning-rate", "-1"], "optim.learning_rate is -1.0: expected a positive number"),
        (["--seeds", "many"], "many"),
        (["--seed", "1"], "--seed"),
    ],
    ids=["a setting's own check", "a nested setting's", "wrong type", "unknown flag"],
)
def test_what_settings_refuse_is_no_traceback(args, message, capsys):
    assert outcome(pytest.fail, args) == 2
    error = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in error
    assert "Traceback" not in error


MEMORY = "memory does not suffice for these settings"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("x is 1: expected 2"), "x is 1: expected 2"),
        (OverflowError("Python int too large"), "Python int too large"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (MemoryError(), MEMORY),
        (MemoryError("Unable to allocate 7 TiB"), f"{MEMORY} (Unable to allocate 7 TiB)"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.\nmore"), f"{MEMORY} (Out of memory.)"),
    ],
)
def test_an_error_of_the_users_is_one_line(error, message, capsys):
    assert outcome(raising(error)) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("error", [TypeError("ours"), jax.errors.JaxRuntimeError("INTERNAL: ours")])
def test_an_error_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error), match="ours"):
        outcome(raising(error))


def test_the_traceback_can_be_had(monkeypatch):
    monkeypatch.setenv("CONVNET_TRACEBACK", "1")
    with pytest.raises(ValueError, match="x is 1"):
        outcome(raising(ValueError("x is 1")))


@pytest.mark.parametrize(("result", "code"), [(None, 0), (1, 1), ([], 0)])
def test_the_code_is_the_functions(result, code):
    assert outcome(lambda settings: result) == code


@pytest.mark.parametrize(
    ("stopped", "code", "message"),
    [
        (Stopped(3, 9, saved=True, signal=15), 143, "stopped after epoch 3 of 9, saved; --resume goes on from there"),
        (Stopped(3, 9, signal=2), 130, "stopped after epoch 3 of 9, not saved; --resume begins it anew"),
    ],
)
def test_a_run_that_was_asked_to_stop_says_what_is_saved(stopped, code, message, capsys):
    assert outcome(raising(stopped), going_on="--resume") == code
    assert capsys.readouterr().err == f"\n{message}\n"


def test_an_interruption_says_how_to_go_on(capsys):
    assert outcome(raising(KeyboardInterrupt()), going_on="--resume") == 130
    assert capsys.readouterr().err == "\ninterrupted; --resume goes on from what is saved\n"


def test_help_shows_a_switch_both_ways_and_what_it_is(capsys):
    assert outcome(pytest.fail, ["--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--planted, --no-planted Judge the planted rules. (default: True)" in text
    assert "--quick, --no-quick A check that everything runs. (default: False)" in text


def test_defaults_may_follow_from_the_arguments():
    seen = []
    assert outcome(seen.append, ["--quick"], defaults=lambda args: Settings(seeds=len(args) + 6)) == 0
    assert seen == [Settings(seeds=7, quick=True)]


def test_output_that_is_no_stream_is_left_alone(monkeypatch):
    class Sink:
        write = flush = staticmethod(lambda *_: None)

    for stream in (Sink(), None):
        monkeypatch.setattr(sys, "stdout", stream)
        assert outcome(lambda settings: None) == 0


def test_a_terminal_that_cannot_show_a_character_ends_nothing(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    assert outcome(lambda settings: print("95 ± 1, 数")) == 0
    assert raw.getvalue().decode() == "95 ? 1, ?\n"


@pytest.mark.slow
def test_help_is_printed_in_ascii(tmp_path):
    command = [sys.executable, str(Path(__file__).parents[1] / "experiments" / "ablate.py"), "--help"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    assert b"--preset" in done.stdout
