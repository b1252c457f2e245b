"""What is asked of the recipe's process, and what it answers; the process is a real one."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import machine
from benchmarks.peers.torch_cifar10.settings import Settings
from convnet.settings import from_dict

TINY = {"epochs": 1, "batch_size": 20, "widths": [8, 8, 8], "whitening_images": 20}


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(
        path,
        train_images=rng.integers(0, 256, (50, 32, 32, 3), np.uint8),
        train_labels=np.arange(50) % 10,
        test_images=rng.integers(0, 256, (30, 32, 32, 3), np.uint8),
        test_labels=np.arange(30) % 10,
    )
    return path


def answers(*arguments, lines=()):
    command = [sys.executable, "-m", "benchmarks.peers.torch_cifar10", *map(str, arguments)]
    done = subprocess.run(
        command,
        input="".join(f"{line}\n" for line in lines),
        env=machine.worker_environment(threads=1, tuned=True),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_settings_come_as_json():
    assert from_dict(Settings, json.loads('{"epochs": 4, "widths": [8, 16, 16]}')) == Settings(
        epochs=4, widths=(8, 16, 16)
    )
    assert Settings(widths=[8, 16, 16]) == Settings(widths=(8, 16, 16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 8}, "unknown setting 'epoch': did you mean epochs"),
        ({"epochs": 0}, "epochs is 0: expected 1 or more"),
        ({"epochs": 9.9}, "epochs is 9.9: expected int"),
        (
            {"precision": "half"},
            "precision is 'half': expected 'fastest', 'float32', 'bfloat16', 'float16', 'autocast'",
        ),
        ({"widths": [8, 16]}, r"widths is \(8, 16\): expected three numbers"),
        ({"std": [1, 0, 1]}, r"std is \(1.0, 0.0, 1.0\): expected three numbers above 0"),
        ({"whitening_share": 0}, "whitening_share is 0.0: expected more than 0, up to 1"),
        ({"muon_rate": 0}, "muon_rate is 0.0: expected more than 0"),
        ({"smoothing": 1}, "smoothing is 1.0: expected 0 or more, less than 1"),
        ({"shift": 32}, "shift is 32: expected less than the 32 pixels"),
        ({"sgd_momentum": 0}, "sgd_momentum is 0.0: expected more than 0, less than 1"),
    ],
)
def test_a_bad_setting_is_one_clear_error(settings, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Settings, settings)


def test_without_torch_it_says_so(tmp_path, monkeypatch, arrays):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert answers(arrays) == [{"gap": "not installed (No module named 'torch')"}]


def test_a_bad_setting_is_a_gap(arrays):
    assert answers(arrays, '{"epochs": 0}') == [{"gap": "epochs is 0: expected 1 or more"}]
    (gap,) = answers(arrays, "epochs=8")
    assert gap == {"gap": "the second argument is 'epochs=8': expected JSON"}


def test_it_answers_seed_by_seed(arrays):
    pytest.importorskip("torch")
    lines = ('{"seed": 1}', '{"seed": "one"}', "nonsense", '{"seed": 1}')
    hello, warm, first, *gaps, again = answers(arrays, json.dumps(TINY), lines=lines)
    assert hello["versions"]["torch"]
    assert (hello["device"], hello["threads"], hello["settings"]["widths"]) == ("cpu", 1, [8, 8, 8])
    assert hello["capability"]
    assert warm["warm_up_seconds"] > 0
    assert (first["seed"], first["steps"]) == (1, 2)
    assert first["seconds"] > 0
    for name in ("seed", "loss", "accuracy", "accuracy_mirror", "accuracy_views"):
        assert first[name] == again[name]
    assert gaps == [
        {"gap": """the question is '{"seed": "one"}': expected {"seed": a number}"""},
        {"gap": """the question is 'nonsense': expected {"seed": a number}"""},
    ]


def test_missing_arrays_are_a_gap(tmp_path):
    pytest.importorskip("torch")
    np.savez(tmp_path / "data.npz", train_images=np.zeros(3))
    (gap,) = answers(tmp_path / "data.npz")
    assert "train_labels" in gap["gap"]
    (gap,) = answers(tmp_path / "absent.npz")
    assert "absent.npz" in gap["gap"]
