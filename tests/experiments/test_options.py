"""Every option of every command changes what the command does."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import get_type_hints

import jax.numpy as jnp
import pytest
from convnet.experiments import (
    ablate,
    audit,
    audit_gradients,
    audit_jax,
    cifar10_speed,
    claims,
    compare,
    compare_checkers,
    dream,
    exercise,
    false_alarms,
    look,
    predict,
    reproduce,
    style_transfer,
    train,
)

from convnet import trial
from convnet.config import RunConfig
from convnet.report.look import Effort
from convnet.task import TRACEABLE
from tests.experiments.would_do import (
    ablated,
    alarmed,
    asserted,
    audited,
    boarded,
    checked,
    compared,
    dreamed,
    examined,
    judged,
    looked,
    predicted,
    raced,
    reproduced,
    stylized,
    trained,
    tried,
)

FACTOR = ["--factor", "optim.learning_rate=0.25,0.5"]
TWO = ["--factor", "optim.name=sgd,adam", "--factor", "model.kernel=3,5"]
FILE = ["--config", "settings.json"]
PHOTOS = ["photo.png", "grey.png"]
SINE = ["jax.numpy:sin", "--args", "f32[3]"]

COMMANDS = {
    compared: (compare.Compare, []),
    trained: (train.Train, []),
    ablated: (ablate.Ablate, FACTOR),
    asserted: (claims.Command, []),
    audited: (audit_gradients.Audit, ["--op", "relu"]),
    examined: (audit.Command, SINE),
    tried: (trial.Trial, []),
    checked: (compare_checkers.CompareCheckers, []),
    alarmed: (false_alarms.FalseAlarms, []),
    boarded: (audit_jax.AuditJax, []),
    raced: (cifar10_speed.CifarSpeed, []),
    judged: (exercise.Command, ["3"]),
    predicted: (predict.Predict, ["run", "black.png"]),
    reproduced: (reproduce.Reproduce, ["run"]),
    dreamed: (dream.Command, ["photo.png"]),
    looked: (look.Command, ["run"]),
    stylized: (style_transfer.Command, PHOTOS),
}
"""What the command would do -> its settings, and the arguments that are there without the option."""

PLACED = (dreamed, examined, judged, looked, predicted, reproduced, stylized)
"""Where the usual place of what they write does for these tests, or nothing is written."""

# (command, option): the arguments with it, and what it is seen by.
OPTIONS = {
    (compared, "data.name"): (["--data.name", "mnist"], {"data": "mnist", "target": 0.97}),
    (compared, "data.limit"): (["--data.limit", "100"], {"images": 100}),
    (compared, "train.epochs"): (["--train.epochs", "3"], {"epochs": [3]}),
    (compared, "models"): (["--models", "cnn", "linear"], {"models": ["cnn", "linear"]}),
    (compared, "seeds"): (["--seeds", "3"], {"seeds": (0, 1, 2)}),
    (compared, "gradient"): (["--gradient", "auto"], {"gradient": "auto"}),
    (compared, "target"): (["--target", "0.625"], {"target": 0.625}),
    (compared, "config"): (FILE, {"rates": [0.375]}),
    (compared, "out"): (["--out", "mine"], {"out": Path("mine")}),
    (compared, "resume"): (["--resume"], {"resume": True}),
    (compared, "deterministic"): (["--no-deterministic"], {"deterministic": False}),
    (compared, "quick"): (
        ["--quick"], {"epochs": [2], "seeds": (0, 1), "out": Path("runs/compare/digits-quick")},
    ),
    (trained, "config"): (FILE, {"rate": 0.375}),
    (trained, "out"): (["--out", "mine"], {"directory": Path("mine")}),
    (trained, "resume"): (["--resume"], {"resume": True}),
    (trained, "accept_changes"): (["--accept-changes"], {"accept_changes": True}),
    (trained, "feed"): (["--feed", "streamed"], {"feed": "streamed"}),
    (trained, "mesh.batch"): (["--mesh.batch", "1"], {"devices": 1}),
    (trained, "deterministic"): (["--no-deterministic"], {"deterministic": False}),
    (trained, "every_epoch"): (["--every-epoch"], {"every_epoch": True}),
    (trained, "quick"): (["--quick"], {"epochs": 2}),
    (ablated, "factor"): (["--factor", "optim.momentum=0.5,0.75,0.875"], {"arms": ["0.5", "0.75", "0.875"]}),
    (ablated, "preset"): (["--preset", "depth"], {"arms": ["1", "2", "3", "4"]}),
    (ablated, "config"): ([*TWO, *FILE], {"rates": [0.375]}),
    (ablated, "design"): (
        [*TWO, "--design", "one-at-a-time"], {"arms": ["base", "optim sgd", "optim adam", "kernel 5"]},
    ),
    (ablated, "sample"): ([*TWO, "--design", "random", "--sample", "3"], {"cells": 30}),
    (ablated, "reference"): ([*FACTOR, "--reference", "0.5"], {"arms": ["0.5", "0.25"]}),
    (ablated, "seeds"): ([*FACTOR, "--seeds", "3"], {"seeds": 3, "cells": 6}),
    (ablated, "max_cells"): ([*FACTOR, "--max-cells", "19"], {"code": 2}),
    (ablated, "shard"): ([*FACTOR, "--shard", "2/4"], {"trained": 5, "rates": [0.25]}),
    (ablated, "replicates"): ([*FACTOR, "--replicates", "vmapped"], {"vmapped": "True"}),
    (ablated, "chunk"): ([*FACTOR, "--chunk", "3"], {"chunk": "3"}),
    (ablated, "workers"): ([*FACTOR, "--workers", "5"], {"workers": "5"}),
    (ablated, "mesh.batch"): ([*FACTOR, "--mesh.batch", "1"], {"devices": (1, None)}),
    (ablated, "mesh.replicates"): ([*FACTOR, "--mesh.replicates", "1"], {"devices": (None, 1)}),
    (ablated, "deterministic"): ([*FACTOR, "--no-deterministic"], {"deterministic": "False"}),
    (ablated, "traced"): ([*FACTOR, "--traced"], {"traced": str(TRACEABLE)}),
    (ablated, "accept_versions"): ([*FACTOR, "--accept-versions"], {"checked": False, "accepted": True}),
    (ablated, "report_only"): ([*FACTOR, "--report-only"], {"trained": 0}),
    (ablated, "out"): ([*FACTOR, "--out", "mine"], {"out": Path("mine")}),
    (ablated, "list"): ([*FACTOR, "--list"], {"reported": False, "trained": False}),
    (ablated, "quick"): ([*FACTOR, "--quick"], {"seeds": 2, "cells": 4, "epochs": [2]}),
    (asserted, "only"): (["--only", "5"], {"measured": [5]}),
    (asserted, "seeds"): (["--seeds", "3"], {"efforts": {(False, 3)}}),
    (asserted, "out"): (["--out", "mine"], {"out": Path("mine")}),
    (asserted, "document"): (["--document", "mine.md"], {"document": Path("mine.md")}),
    (asserted, "results"): (
        ["--document", "mine.md", "--results", "mine.json"],
        {"document": Path("mine.md"), "results": Path("mine.json")},
    ),
    (asserted, "again"): (
        ["--document", "mine.md", "--results", "mine.json", "--again"],
        {"measured": [], "again": (Path("mine.json"), Path("mine"))},
    ),
    (asserted, "list"): (["--list"], {"measured": []}),
    (asserted, "quick"): (["--quick"], {"efforts": {(True, None)}, "out": Path("runs/claims-quick")}),
    (audited, "op"): (["--op", "relu", "tanh"], {"ops": ["relu", "tanh"]}),
    (audited, "level"): (["--op", "relu", "--level", "exhaustive"], {"level": ("exhaustive", "exhaustive")}),
    (audited, "seeds"): (["--op", "relu", "--seeds", "3"], {"seeds": (3, [3])}),
    (audited, "planted"): (["--op", "relu", "--no-planted"], {"kinds": ["case", "errors"]}),
    (audited, "jobs"): (["--op", "relu", "--jobs", "3"], {"jobs": 3}),
    (audited, "out"): (["--op", "relu", "--out", "mine"], {"out": Path("mine")}),
    (audited, "quick"): (
        ["--quick"],
        {"ops": ["dense", "gelu", "max_pool"], "level": ("quick", "quick"), "kinds": ["case", "network"],
         "networks": ["linear", "mlp", "cnn"], "out": Path("runs/audit-quick")},
    ),
    (examined, "function"): (["jax.numpy:cos", "--args", "f32[3]"], {"fn": jnp.cos, "name": "cos"}),
    (examined, "args"): (["jax.numpy:sin", "--args", "f32[2,3]", "-4"], {"shapes": [(2, 3), -4]}),
    (examined, "set"): ([*SINE, "--set", "axis=1", "kind=SAME"], {"settings": {"axis": 1, "kind": "SAME"}}),
    (examined, "level"): ([*SINE, "--level", "quick"], {"level": "quick"}),
    (examined, "seed"): ([*SINE, "--seed", "3"], {"seeds": [3]}),
    (examined, "argnums"): ([*SINE, "--argnums", "0", "2"], {"argnums": (0, 2)}),
    (examined, "draws"): ([*SINE, "--draws", "3"], {"seeds": [0, 1, 2]}),
    (examined, "reference"): ([*SINE, "--reference", "jax.numpy:tan"], {"reference": jnp.tan}),
    (examined, "json"): ([*SINE, "--json", "mine.json"], {"json": Path("mine.json")}),
    (tried, "models"): (["--models", "mlp", "linear"], {"models": ["mlp", "linear"]}),
    (tried, "seeds"): (["--seeds", "2"], {"budget": (2, 10)}),
    (tried, "epochs"): (["--epochs", "4"], {"budget": (3, 4)}),
    (tried, "reference"): (["--reference", "auto"], {"reference": "auto", "compared": "plain forward passes"}),
    (tried, "out"): (["--out", "mine"], {"out": Path("mine")}),
    (tried, "quick"): (["--quick"], {"budget": (1, 2), "out": Path("runs/backprop_by_hand-quick")}),
    (checked, "seeds"): (["--seeds", "4"], {"seeds": {4}}),
    (checked, "only"): (["--only", "rules"], {"boards": []}),
    (checked, "board"): (["--board", "mine.json"], {"boards": [Path("mine.json")]}),
    (checked, "out"): (["--out", "mine"], {"out": Path("mine")}),
    (checked, "quick"): (["--quick"], {"rules": False, "out": Path("runs/checkers-quick")}),
    (alarmed, "only"): (["--only", "relu", "special"], {"all": False, "origins": ["jax.nn", "special"]}),
    (alarmed, "draws"): (["--draws", "2"], {"draws": (0, 1)}),
    (alarmed, "seed"): (["--seed", "3"], {"draws": (3, 4, 5, 6)}),
    (alarmed, "level"): (["--level", "quick"], {"level": "quick"}),
    (alarmed, "jobs"): (["--jobs", "7"], {"jobs": 7}),
    (alarmed, "out"): (["--out", "mine"], {"out": Path("mine")}),
    (alarmed, "quick"): (
        ["--quick"],
        {"all": False, "sizes": False, "draws": (0,), "level": "quick", "out": Path("runs/false_alarms-quick")},
    ),
    (boarded, "only"): (
        ["--only", "spence", "jax.scipy.special.digamma"],
        {"all": False, "functions": ["jax.scipy.special.digamma", "jax.scipy.special.spence"]},
    ),
    (boarded, "jobs"): (["--jobs", "7"], {"jobs": 7}),
    (boarded, "limit"): (["--limit", "3"], {"limit": 3.0}),
    (boarded, "audits"): (["--no-audits"], {"audits": False}),
    (boarded, "out"): (["--out", "mine"], {"out": Path("mine")}),
    (boarded, "quick"): (["--quick"], {"all": False, "audits": False, "out": Path("runs/audit_jax-quick")}),
    (boarded, "compare"): (["--compare", "a.json", "b.json"], {"compared": ("a.json", "b.json")}),
    (boarded, "merge"): (["--merge", "a.json", "b.json"], {"merged": ("a.json", "a.json", "b.json")}),
    (boarded, "document"): (["--document", "mine.md", "--boards", "a.json"], {"document": Path("mine.md")}),
    (boarded, "boards"): (["--document", "mine.md", "--boards", "a.json", "b.json"], {"boards": ["a.json", "b.json"]}),
    (raced, "target"): (["--target", "0.9"], {"widths": (32, 128, 128)}),
    (raced, "runs"): (["--runs", "2"], {"seeds": [0, 1]}),
    (raced, "seed"): (["--seed", "7"], {"seeds": [7, 8, 9, 10, 11]}),
    (raced, "budget"): (["--budget", "1e-9"], {"seeds": [0]}),
    (raced, "device"): (["--device", "cpu"], {"device": "cpu"}),
    (raced, "widths"): (["--widths", "4", "8"], {"widths": (4, 8)}),
    (raced, "epochs"): (["--epochs", "3"], {"epochs": 3}),
    (raced, "config"): (FILE, {"rate": 0.375}),
    (raced, "validation"): (["--validation"], {"held out": True}),
    (raced, "compiled"): (["--compiled", "there"], {"compiled": [("jax_compilation_cache_dir", "there")]}),
    (raced, "out"): (["--out", "mine"], {"out": Path("mine")}),
    (raced, "quick"): (["--quick"], {"widths": (8, 16, 16), "epochs": 2, "out": Path("runs/cifar10_speed-quick")}),
    (judged, "number"): (["5"], {"exercise": 5, "name": "5_glorot_uniform.py"}),
    (judged, "file"): (["3", "--file", "mine.py"], {"file": Path("mine.py")}),
    (predicted, "run"): (["other", "black.png"], {"run": Path("other")}),
    (predicted, "images"): (
        ["run", "white.png", "black.png"],
        {"table": [["white.png", "owl", "50.0%", "cat", "37.5%", "dog", "12.5%"],
                   ["black.png", "dog", "50.0%", "owl", "37.5%", "cat", "12.5%"]]},
    ),
    (predicted, "top"): (["run", "black.png", "--top", "1"], {"table": [["black.png", "dog", "50.0%"]]}),
    (reproduced, "run"): (["other"], {"run": Path("other")}),
    (dreamed, "image"): (["white.png"], {"photograph": (255, 30, 40)}),
    (dreamed, "run"): (["photo.png", "--run", "other"], {"run": Path("other")}),
    (dreamed, "layer"): (["photo.png", "--layer", "conv1"], {"layer": "conv1"}),
    (dreamed, "octaves"): (["photo.png", "--octaves", "3"], {"octaves": 3}),
    (dreamed, "iterations"): (["photo.png", "--iterations", "3"], {"iterations": 3}),
    (dreamed, "step"): (["photo.png", "--step", "0.125"], {"step": 0.125}),
    (dreamed, "smooth"): (["photo.png", "--smooth", "0.25"], {"smooth": 0.25}),
    (dreamed, "size"): (["photo.png", "--size", "20"], {"photograph": (0, 15, 20)}),
    (dreamed, "seed"): (["photo.png", "--seed", "3"], {"seed": 3}),
    (dreamed, "out"): (["photo.png", "--out", "mine.png"], {"out": Path("mine.png")}),
    (looked, "run"): (["other"], {"run": Path("other")}),
    (looked, "sections"): (["run", "--sections", "trust", "layers"], {"sections": ["layers", "trust"]}),
    (looked, "images"): (["run", "--images", "black.png"], {"titles": ("black.png (made grey, resized from 20×30)",)}),
    (looked, "units"): (["run", "--units", "logits:3"], {"units": (("logits", 3),)}),
    (looked, "out"): (["run", "--out", "mine"], {"out": Path("mine")}),
    (looked, "seed"): (["run", "--seed", "3"], {"seed": 3}),
    (looked, "live"): (["run", "--no-live"], {"live": False}),
    (looked, "quick"): (["run", "--quick"], {"effort": Effort.quick(), "out": Path("run/look-quick")}),
    (stylized, "content"): (["white.png", "grey.png"], {"photograph": (255, 30, 40)}),
    (stylized, "style"): (["photo.png", "white.png"], {"style": (255, 30, 40)}),
    (stylized, "run"): ([*PHOTOS, "--run", "other"], {"run": Path("other")}),
    (stylized, "content_layer"): ([*PHOTOS, "--content-layer", "conv1"], {"content_layer": "conv1"}),
    (stylized, "style_layers"): ([*PHOTOS, "--style-layers", "a", "b"], {"style_layers": ("a", "b")}),
    (stylized, "style_weight"): ([*PHOTOS, "--style-weight", "0.5"], {"style_weight": 0.5}),
    (stylized, "variation_weight"): ([*PHOTOS, "--variation-weight", "0.5"], {"variation_weight": 0.5}),
    (stylized, "steps"): ([*PHOTOS, "--steps", "3"], {"steps": 3}),
    (stylized, "start"): ([*PHOTOS, "--start", "noise"], {"start": "noise"}),
    (stylized, "size"): ([*PHOTOS, "--size", "20"], {"photograph": (0, 15, 20), "style": (128, 15, 20)}),
    (stylized, "style_size"): ([*PHOTOS, "--style-size", "20"], {"style": (128, 15, 20)}),
    (stylized, "seed"): ([*PHOTOS, "--seed", "3"], {"seed": 3}),
    (stylized, "out"): ([*PHOTOS, "--out", "mine.png"], {"out": Path("mine.png")}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        pytest.param(command, args, expected, id=f"{command.__name__}, {option}")
        for (command, option), (args, expected) in OPTIONS.items()
    ],
)
def test_the_option_changes_something(command, args, expected, workplace):
    with workplace.context() as patch:
        seen = command(patch, args)
    assert {name: seen.get(name) for name in expected} == expected
    usual = COMMANDS[command][1]
    with workplace.context() as patch:
        without = command(patch, [*usual, *([] if command in PLACED else ["--out", "usual"])])
    assert [name for name, value in expected.items() if without.get(name) == value] == []


def options_of(settings):
    """Names of the options, those of sections as section.name; the settings of a run are not the command's own."""
    names = set()
    for name, kind in get_type_hints(settings).items():
        if kind is RunConfig or getattr(kind, "__origin__", None) is RunConfig:
            continue
        names |= {f"{name}.{inner}" for inner in options_of(kind)} if is_dataclass(kind) else {name}
    return names


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_no_option_is_forgotten(command):
    settings, _ = COMMANDS[command]
    assert options_of(settings) == {option for of, option in OPTIONS if of is command}


def test_no_command_is_forgotten():
    folder = Path(compare.__file__).parent
    commands = {path.stem for path in folder.glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8")}
    homes = {"trial": "backprop_by_hand"}
    found = {settings.__module__.rpartition(".")[2] for settings, _ in COMMANDS.values()}
    assert {homes.get(name, name) for name in found} == commands
