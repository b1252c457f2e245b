"""What the commands do where nothing is said, pinned: the defaults of their options, and all that is done."""

from dataclasses import MISSING, fields
from pathlib import Path

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
from convnet.claims import command
from convnet.gradcheck.evidence import EVIDENCE
from tests.experiments.would_do import (
    ablated,
    alarmed,
    asserted,
    audited,
    boarded,
    checked,
    compared,
    raced,
    trained,
    tried,
)

FACTOR = ["--factor", "optim.learning_rate=0.25,0.5"]

DEFAULTS = {
    compare.Data: {"name": None, "limit": None},
    compare.Train: {"epochs": None},
    compare.Compare: {"models": ("linear", "mlp", "cnn"), "seeds": 5, "gradient": None, "target": None, "config": None,
                      "out": None, "resume": False, "deterministic": True, "quick": False},
    train.Train: {"config": None, "out": None, "resume": False, "accept_changes": False, "feed": "auto",
                  "deterministic": True, "every_epoch": False, "quick": False},
    ablate.Ablate: {"factor": (), "preset": None, "config": None, "design": None, "sample": None, "reference": None,
                    "seeds": None, "max_cells": 1000, "shard": None, "replicates": "auto", "chunk": 16, "workers": None,
                    "deterministic": True, "traced": False, "accept_versions": False, "report_only": False, "out": None,
                    "list": False, "quick": False},
    audit_gradients.Audit: {"op": (), "level": "standard", "seeds": 8, "planted": True, "out": None, "quick": False},
    audit.Command: {"args": (), "set": (), "level": "standard", "seed": 0, "argnums": (), "draws": 1, "reference": None,
                    "json": None},
    trial.Trial: {"models": ("linear", "mlp", "cnn", "cnn_smooth"), "seeds": 3, "epochs": 10, "reference": "hand",
                  "out": None, "quick": False},
    claims.Command: {"only": (), "seeds": None, "out": None, "document": None, "results": None, "again": False,
                     "list": False, "quick": False},
    command.Command: {"seeds": None, "out": None, "quick": False},
    exercise.Command: {"number": None, "file": None},
    compare_checkers.CompareCheckers: {"seeds": 1, "only": None, "board": None, "out": None, "quick": False},
    false_alarms.FalseAlarms: {"only": (), "draws": 4, "seed": 0, "level": "standard", "out": None, "quick": False},
    audit_jax.AuditJax: {"only": (), "limit": 90.0, "audits": True, "out": None, "quick": False, "compare": (),
                         "merge": (), "document": None, "boards": ()},
    cifar10_speed.CifarSpeed: {"target": "0.94", "runs": 5, "seed": 0, "budget": None, "device": None, "widths": None,
                               "epochs": None, "config": None, "validation": False, "compiled": None, "out": None,
                               "quick": False},
    predict.Predict: {"top": 5},
    reproduce.Reproduce: {},
    dream.Command: {"run": Path("runs/look/cifar10"), "layer": None, "octaves": 6, "iterations": 10, "step": 0.006,
                    "smooth": 0.5, "size": 512, "seed": 0, "out": None},
    look.Command: {"sections": ("layers", "training", "weights", "image", "fields", "units", "occlusion", "inversion",
                                "classes", "dreams", "styles", "trust"),
                   "images": (), "units": (), "out": None, "seed": 0, "live": True, "quick": False},
    style_transfer.Command: {"run": Path("runs/look/cifar10"), "content_layer": None, "style_layers": (),
                             "style_weight": 100.0, "variation_weight": 10.0, "steps": 200, "start": "content",
                             "size": 384, "style_size": None, "seed": 0, "out": None},
}  # fmt: skip


@pytest.mark.parametrize("settings", DEFAULTS, ids=lambda settings: f"{settings.__module__}.{settings.__name__}")
def test_defaults(settings):
    found = {field.name: field.default for field in fields(settings) if field.default is not MISSING}
    assert found == DEFAULTS[settings]


def test_the_networks_of_an_audit():
    assert audit_gradients.NETWORKS == {
        "linear": ("linear", {}, None),
        "mlp": ("mlp", {"widths": (32, 16)}, None),
        "cnn": ("cnn", {"widths": (8, 16), "head_width": 32}, None),
        "cnn, average pooling, tanh": (
            "cnn", {"widths": (8,), "pool": "avg", "head": "global_avg", "activation": "tanh"}, None),
        "cnn, batch norm": ("cnn", {"widths": (8,), "head_width": 16, "norm": "batch"}, None),
        "lenet5": ("lenet5", {}, (28, 28, 1)),
        "alexnet": ("alexnet", {"width": 1 / 32, "dropout": 0.0}, (67, 67, 3)),
        "zfnet": ("zfnet", {"width": 1 / 32, "dropout": 0.0}, (67, 67, 3)),
        "vgg11": ("vgg11", {"width": 1 / 32, "dropout": 0.0}, (32, 32, 3)),
        "vgg16": ("vgg16", {"width": 1 / 16, "dropout": 0.0, "norm": "batch"}, (32, 32, 3)),
        "resnet8": ("resnet8", {"width": 0.25}, (9, 12, 3)),
        "resnet18": ("resnet18", {"width": 1 / 16, "stem": "large"}, (33, 40, 3)),
        "resnet34": ("resnet34", {"width": 1 / 32}, (16, 16, 3)),
        "airbench": ("airbench", {"widths": (4, 8)}, (9, 12, 3)),
    }  # fmt: skip


USUAL = {
    compared: {"data": "digits", "images": 1079, "epochs": [40], "seeds": (0, 1, 2, 3, 4), "gradient": "hand",
               "target": 0.95, "rates": [0.02, 0.05], "resume": False, "deterministic": True,
               "out": Path("runs/compare/digits")},
    trained: {"seed": None, "resume": False, "accept_changes": False, "deterministic": True, "every_epoch": False,
              "epochs": 40, "limit": None},
    ablated: {"seeds": 10, "cells": 20, "trained": 20, "vmapped": "None", "chunk": "16", "workers": "None",
              "traced": "()", "deterministic": "True", "checked": True, "accepted": False},
    tried: {"models": ["linear", "mlp", "cnn", "cnn_smooth"], "reference": "hand", "budget": (3, 10),
            "compared": "ops with hand-derived rules", "out": Path("runs/backprop_by_hand"),
            "told": "digits; 3 seeds; 10 epochs of batch 32, gradient descent of rate 0.05"},
    asserted: {"efforts": {(False, None)}, "measured": [2, 5], "out": Path("runs/claims"), "document": None,
               "results": None, "again": None},
    checked: {"seeds": {1}, "rules": True, "boards": [None], "out": Path("runs/checkers")},
    alarmed: {"all": True, "draws": (0, 1, 2, 3), "level": "standard", "sizes": True, "out": Path("runs/false_alarms")},
    boarded: {"all": True, "limit": 90.0, "audits": True, "out": Path("runs/audit_jax"), "document": None,
              "compared": None, "merged": None},
    raced: {"seeds": [0, 1, 2, 3, 4], "widths": None, "epochs": 8, "device": None, "compiled": [], "held out": False,
            "out": Path("runs/cifar10_speed")},
}  # fmt: skip


@pytest.mark.parametrize("command", USUAL, ids=lambda command: command.__name__)
def test_what_is_done_without_options(command, workplace):
    seen = command(workplace, FACTOR if command is ablated else [])
    assert {name: seen[name] for name in USUAL[command]} == USUAL[command]


def test_all_of_the_library_is_audited_unless_ops_are_named(workplace):
    seen = audited(workplace, [])
    assert seen["ops"] == sorted(EVIDENCE)
    assert seen["networks"] == [
        "linear", "mlp", "cnn", "cnn, average pooling, tanh", "cnn, batch norm", "lenet5", "alexnet", "zfnet", "vgg11",
        "vgg16", "resnet8", "resnet18", "resnet34", "airbench",
    ]  # fmt: skip
    assert seen["kinds"] == ["anybody", "case", "control", "errors", "formulations", "mutant", "network"]
    assert (seen["seeds"], seen["level"], seen["out"]) == ((8, [8]), ("standard", "standard"), Path("runs/audit"))


def test_replicates_are_asked_for_in_all_ways(workplace):
    for way, vmapped in {"auto": "None", "vmapped": "True", "threads": "False"}.items():
        with workplace.context() as patch:
            assert ablated(patch, [*FACTOR, "--replicates", way])["vmapped"] == vmapped
