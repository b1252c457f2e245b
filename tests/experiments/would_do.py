"""What a command would do, by command: nothing is trained, and what would be is written down.

Each takes a monkeypatch and the arguments, and returns what was seen, by name.
"""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from convnet.experiments import (
    ablate,
    audit,
    audit_gradients,
    audit_jax,
    backprop_by_hand,
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
from PIL import Image

from convnet import data, trial
from convnet.ablation import cells
from convnet.analysis.deep_dream import Dream
from convnet.analysis.style_transfer import Stylized
from convnet.architectures import Linear
from convnet.board.cases import CASES
from convnet.board.inventory import Inventory, resolved
from convnet.board.run import Row
from convnet.config import RunConfig
from convnet.exercises import Judgement
from convnet.gradcheck import Check, Report
from convnet.gradcheck.evidence.right_functions import RIGHT_FUNCTIONS
from convnet.report import Page
from convnet.report.backprop_page import PRECISIONS, WAYS, Outcome, Run
from convnet.speed_run import SpeedResult
from convnet.task import Facts, make_task
from convnet.trained import Trained
from tests.report import handmade


def load_only_train(name, limit=None):
    return SimpleNamespace(name=name, train=range(limit or 1079))


class FakeTrainer:
    """Keeps what it is asked to run."""

    made: list

    def __init__(self, config, dataset, mesh=None, compiled=True, deterministic=None):
        self.config, self.dataset, self.mesh, self.runs = config, dataset, mesh, []
        self.deterministic = deterministic
        self.made.append(self)

    def identity(self, config):
        return {}

    def common(self, config):
        return {}

    def programs(self):
        pass

    def run(self, seed=None, on_epoch=None, **options):
        self.runs.append({"seed": seed, **options})
        return handmade.result(handmade.CONFIG, 0, [(1.0, 1.0, 1.0, 1.0)], [0, 0, 1, 2], 0.5, 1, {"params": {}})


def only(values):
    (value,) = set(values)
    return value


def compared(patch, args):
    trainers, written = [], []
    patch.setattr(compare, "Trainer", type("Trainer", (FakeTrainer,), {"made": trainers}))
    patch.setattr(compare.data, "load", load_only_train)
    patch.setattr(compare, "can_go_on", lambda path, identity: True)
    patch.setattr(compare, "take_threads", lambda path: None)
    patch.setattr(compare.Family, "of", lambda name, trainer, runs, target: handmade.replace(
        handmade.linear_family(), name=name, config=trainer.config, runs=runs, target=target))  # fmt: skip
    patch.setattr(compare, "write_comparison", lambda *given: written.append(given) or ("", []))
    assert compare.main(args) == 0
    ((out, families, _),) = written
    return {
        "data": only(t.dataset.name for t in trainers),
        "images": only(len(t.dataset.train) for t in trainers),
        "epochs": sorted({t.config.train.epochs for t in trainers}),
        "models": [family.name for family in families],
        "seeds": only(tuple(run["seed"] for run in t.runs) for t in trainers),
        "gradient": only(t.config.gradient for t in trainers),
        "target": only(family.target for family in families),
        "rates": sorted({t.config.optim.learning_rate for t in trainers}),
        "resume": only(run["resume"] for t in trainers for run in t.runs),
        "deterministic": only(t.deterministic for t in trainers),
        "out": out,
    }


def trained(patch, args):
    trainers, written = [], []
    patch.setattr(train, "Trainer", type("Trainer", (FakeTrainer,), {"made": trainers}))
    fed = []
    patch.setattr(train.data, "for_training", lambda config, feed: fed.append(feed) or handmade.PETS)
    patch.setattr(train, "take_threads", lambda path: None)
    patch.setattr(train.Family, "of", lambda *given: handmade.linear_family())
    patch.setattr(train, "write_report", lambda path, *page: written.append(path) or [])
    assert train.main(args) == 0
    (trainer,) = trainers
    ((run,), (report,)) = trainer.runs, written
    assert report.parent == run["directory"]
    return {**run, "rate": trainer.config.optim.learning_rate, "epochs": trainer.config.train.epochs,
            "limit": trainer.config.data.limit, "devices": trainer.mesh.batch, "deterministic": trainer.deterministic,
            "feed": only(fed)}  # fmt: skip


def ablated(patch, args):
    done, reported = [], []

    class FakeReplicates:
        def __init__(self, config, dataset, **settings):
            self.config, self.settings = config, settings

        def run_all(self, configs, on_epoch, directory):
            done.extend((one, self.settings, directory(one)) for one in configs)
            return iter(())

    patch.setattr(cells, "Replicates", FakeReplicates)
    patch.setattr(ablate, "use_threads", lambda n: None)
    patch.setattr(ablate, "check_comparable", lambda found: done.append("checked") or list(found))
    patch.setattr(ablate, "report", lambda *given: reported.append(given) or ("", []))
    code = ablate.main(args)
    if code or not reported:
        return {"code": code, "trained": bool(done), "reported": bool(reported)}
    ((out, plan, everything, accepted),) = reported
    runs = [one for one in done if one != "checked"]
    return {
        "code": code,
        "reported": True,
        "out": out,
        "arms": [arm["name"] for arm in plan["arms"]],
        "question": plan["question"],
        "seeds": plan["seeds"],
        "cells": len(everything),
        "trained": len(runs),
        "checked": "checked" in done,
        "accepted": accepted,
        "rates": sorted({config.optim.learning_rate for config, _, _ in runs}),
        "epochs": sorted({config.train.epochs for config, _, _ in runs}),
        **{name: only(str(settings[name]) for _, settings, _ in runs) if runs else None
           for name in ("vmapped", "chunk", "workers", "traced", "deterministic")},
        "devices": only((settings["mesh"].batch, settings["mesh"].replicates) for _, settings, _ in runs)
                   if runs else None,
    }  # fmt: skip


def audited(patch, args):
    given, written = [], []
    patch.setattr(audit_gradients.sys, "argv", ["audit_gradients.py", *args])
    patch.setattr(audit_gradients, "results_of", lambda tasks, jobs: given.append((tasks, jobs)) or iter(()))
    patch.setattr(audit_gradients, "write_audit", lambda out, findings: written.append((out, findings.level)) or [])
    assert audit_gradients.main() == 0
    ((tasks, jobs),), ((out, level),) = given, written
    ours = [task for task in tasks if task.kind == "case"]
    return {
        "ops": sorted({task.name for task in ours}),
        "level": (level, only(task.level for task in ours)),
        "seeds": (only(task.seeds for task in ours), sorted({task.seeds for task in tasks if task.kind == "control"})),
        "kinds": sorted({task.kind for task in tasks}),
        "networks": [task.name for task in tasks if task.kind == "network"],
        "jobs": jobs,
        "out": out,
    }


def examined(patch, args):
    made, asked, printed, written = [], [], [], []

    class Auditor:
        def __init__(self, fn, **options):
            made.append({"fn": fn, **options})

        def audit(self, point, *, seed, level):
            asked.append((point, seed, level))
            return Report("sine", level, seed, [Check("differences", "x", "passed")])

    patch.setattr(audit, "Auditor", Auditor)
    patch.setattr(audit, "write_json", lambda path, value: written.append((path, value["reports"])))
    patch.setattr("builtins.print", lambda *words, **_: printed.append(words))
    assert audit.main(args) == 0
    (options,) = made
    return options | {
        "shapes": [getattr(part, "shape", part) for part in asked[0][0]],
        "seeds": [seed for _, seed, _ in asked],
        "level": only(level for _, _, level in asked),
        "json": written[0][0] if written else None,
    }


def tried(patch, args):
    seen, written = [], []
    ones = {way: np.ones((1, 1)) for way in WAYS}
    runs = {precision: [Run({"w": 0.0}, ones, ones)] for precision in PRECISIONS}

    def try_model(name, reference, by_hand, dataset, orders, bar):
        seen.append((name, reference, orders.shape[:2]))
        return Outcome(name, {"w": (1,)}, runs)

    patch.setattr(trial, "try_model", try_model)
    patch.setattr(trial, "write_trial", lambda *given: written.append(given) or [])
    assert backprop_by_hand.main(args) == 0
    ((path, _, facts),) = written
    return {
        "models": [name for name, _, _ in seen],
        "reference": only(reference for _, reference, _ in seen),
        "compared": facts["compared"].rpartition("through ")[2],
        "budget": only(shape for _, _, shape in seen),
        "told": facts["budget"],
        "out": path.parent,
    }


def checked(patch, args):
    written, asked, boards = [], [], []
    patch.setattr(compare_checkers, "installed", lambda: {"ours": None})
    patch.setattr(compare_checkers, "board_of", boards.append)
    patch.setattr(compare_checkers, "verdict", lambda name, checker, rule, kind, seeds: asked.append(seeds) or (
        compare_checkers.Verdict(name, rule.name, kind, kind == "wrong", 1.0)))  # fmt: skip
    patch.setattr(compare_checkers, "write_report", lambda path, *page: written.append(path) or [])
    assert compare_checkers.main(args) == 0
    (path,) = written
    return {"seeds": set(asked), "rules": len(asked) > 3, "boards": boards, "out": path.parent}


def alarmed(patch, args):
    given, written = [], []
    patch.setattr(false_alarms, "results_of", lambda tasks, jobs: given.append((tasks, jobs)) or iter(()))
    patch.setattr(false_alarms, "write_report", lambda path, *page: written.append(path) or [])
    assert false_alarms.main(args) == 0
    ((tasks, jobs),), (path,) = given, written
    return {
        "all": len(tasks) == sum(map(len, RIGHT_FUNCTIONS.values())),
        "origins": sorted({task.origin for task in tasks}),
        "draws": only(task.draws for task in tasks),
        "level": only(task.level for task in tasks),
        "sizes": any(len(task.scales) > 1 for task in tasks),
        "jobs": jobs,
        "out": path.parent,
    }


def raced(patch, args):
    made, written, devices = [], [], []

    class Fake:
        compile_seconds, flops, steps = 1.0, 1.0, 1

        def __init__(self, config, dataset):
            self.config = config
            made.append((config, dataset))

        def run(self, seed):
            return SpeedResult(seed, 1.0, 1.0, {"one": 0.5}, np.ones(1))

    split = data.Split(np.zeros((20, 4, 4, 3), np.uint8), np.arange(20) % 10)
    held_out = split.take(np.arange(10))
    pictures = data.Dataset("cifar10", split, held_out, split, tuple("0123456789"))
    patch.setattr(data, "load", lambda name, limit=None: pictures)
    patch.setattr(cifar10_speed, "SpeedRun", Fake)
    patch.setattr(cifar10_speed, "matrix_product_rate", lambda dtype: 1.0)
    patch.setattr(cifar10_speed, "choose_device", devices.append)
    patch.setattr(cifar10_speed, "write_report", lambda path, *page: written.append(path) or [])
    patch.setattr(cifar10_speed.jax.config, "update", lambda name, value: devices.append((name, Path(value).name)))
    assert cifar10_speed.main(args) == 0
    ((config, dataset),), (path,) = made, written
    kept = [json.loads(line) for line in (path.parent / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "seeds": [run["seed"] for run in kept],
        "rate": config.optim.learning_rate,
        "widths": config.model.widths,
        "epochs": config.train.epochs,
        "device": devices[0],
        "compiled": devices[1:],
        "held out": len(dataset.test) == 10,
        "out": path.parent,
    }


def boarded(patch, args):
    seen = {"document": None, "compared": None, "merged": None, "audits": False}

    def rows(cases, settings):
        here = [case for case in CASES if resolved(case.function) is not None]
        seen.update(all=len(cases) == len(here), functions=sorted({case.function for case in cases}),
                    jobs=settings.jobs, limit=settings.limit)  # fmt: skip
        return (Row(case.function, case.call, case.key, "judged") for case in cases)

    def audits(cases, settings):
        seen.update(audits=bool(cases))
        return iter(())

    def change_table(then, now):
        seen.update(compared=(then, now))
        return [["", ""]]

    patch.setattr(audit_jax, "rows", rows)
    patch.setattr(audit_jax, "audits", audits)
    patch.setattr(audit_jax, "inventory", lambda *_: Inventory((), {}, (), ()))
    patch.setattr(audit_jax, "write_report", lambda path, *page: seen.update(out=path.parent) or [])
    patch.setattr(audit_jax.boards, "read", lambda path: str(path))
    if "--merge" in args:
        patch.setattr(audit_jax.boards, "write", lambda path, boards: seen.update(merged=(str(path), *boards)))
    patch.setattr(audit_jax.boards, "merged", lambda *boards: boards)
    patch.setattr(audit_jax, "change_table", change_table)
    patch.setattr(audit_jax, "board_document", lambda path, boards, _: seen.update(document=path, boards=boards))
    assert audit_jax.main(args) == 0
    return seen


def asserted(patch, args):
    """Of two claims."""
    seen = {"measured": [], "efforts": set(), "out": None, "document": None, "results": None, "again": None}
    known = {number: SimpleNamespace(CLAIM=SimpleNamespace(number=number, title=""), __file__="") for number in (2, 5)}

    def measured(wanted, effort, out):
        seen.update(measured=list(wanted), efforts={(effort.quick, effort.seeds)}, out=out)
        return [SimpleNamespace(claim=known[2].CLAIM, verdict="holds", seconds=1.0)], []

    patch.setattr(claims, "modules", lambda: known)
    patch.setattr(claims, "measured", measured)
    patch.setattr(claims, "claims_page", lambda *_: Page("", {}, []))
    patch.setattr(claims, "write_report", lambda *_: [])
    patch.setattr(claims, "write_document", lambda path, *_: seen.update(document=path))
    patch.setattr(claims, "write_results", lambda path, *_: seen.update(results=path))
    patch.setattr(claims, "read_results", lambda path, pictures: seen.update(again=(path, pictures)) or ())
    assert claims.main(args) == 0
    return seen


def judged(patch, args):
    """Nothing is written yet in any file."""
    seen = {}
    patch.setattr(exercise, "function_in", lambda path, name: seen.update(file=path, name=path.name))
    patch.setattr(exercise, "judge", lambda one, function: seen.update(exercise=one.number) or Judgement(one, ()))
    assert exercise.main(args) == 2
    return seen


def predicted(patch, args):
    shares = np.array([0.125, 0.5, 0.375])
    network = SimpleNamespace(
        image_shape=(8, 8, 1),
        class_names=("cat", "dog", "owl"),
        config=RunConfig(),
        epoch=7,
        probabilities=lambda images: np.array([np.roll(shares, int(image.max() == 255)) for image in images]),
    )
    asked, printed = [], []
    patch.setattr(predict, "load", lambda run: asked.append(run) or network)
    patch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(map(str, words))))
    for name, grey in (("black", 0), ("white", 255)):
        Image.new("L", (8, 8), grey).save(f"{name}.png")
    assert predict.main(args) == 0
    (table,) = (text for text in printed if "image" in text.splitlines()[0])
    return {"run": only(asked), "table": [line.split() for line in table.splitlines()[2:]]}


def reproduced(patch, args):
    seen, manifest = [], {"parameter_hash": "0"}
    patch.setattr(reproduce, "stored_run", lambda path: seen.append(path) or (RunConfig(), manifest))
    patch.setattr(reproduce, "take_threads", seen.append)
    program = SimpleNamespace(trainer=SimpleNamespace(identity=lambda *_: {}))
    patch.setattr(reproduce, "replicates_of", lambda *_: program)
    patch.setattr(reproduce, "train_again", lambda *_: Path("again"))
    patch.setattr(reproduce, "read_manifest", lambda path: manifest)
    patch.setattr(reproduce, "differing_results", lambda stored, *_: seen.append(stored) or [])
    assert reproduce.main(args) == 0
    return {"run": only(seen)}


def dreamed(patch, args):
    seen, printed = [], []
    network = SimpleNamespace(image_shape=(8, 8, 1), config=RunConfig(), epoch=7, variables={})

    def deep_dream(network, images, layer, on_progress, **settings):
        seen.append({"layer": layer, "photograph": (images.max(), *images.shape[1:3]), **settings})
        return Dream(images / 255, layer or "last", (images.shape[1:3],), np.zeros((1, 1, 1)))

    patch.setattr(dream, "load", lambda run: seen.append({"run": run}) or network)
    patch.setattr(dream, "deep_dream", deep_dream)
    patch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(map(str, words))))
    dream.USUAL.mkdir(parents=True, exist_ok=True)
    for name, grey in (("photo", 0), ("white", 255)):
        Image.new("L", (40, 30), grey).save(f"{name}.png")
    assert dream.main(args) == 0
    return {**seen[0], **seen[1], "out": Path(printed[-1].rpartition(" ")[2])}


def stylized(patch, args):
    seen, printed = [], []
    network = SimpleNamespace(image_shape=(8, 8, 1), config=RunConfig(), epoch=7, variables={})

    def transfer(network, content, style, on_progress, **settings):
        photographs = {"photograph": (content.max(), *content.shape[:2]), "style": (style.max(), *style.shape[:2])}
        seen.append({**photographs, **settings})
        return Stylized("last", ("first",), content / 255, np.zeros(1), 0.0, np.zeros(1), 0.0)

    patch.setattr(style_transfer, "load", lambda run: seen.append({"run": run}) or network)
    patch.setattr(style_transfer, "style_transfer", transfer)
    patch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(map(str, words))))
    style_transfer.USUAL.mkdir(parents=True, exist_ok=True)
    for name, grey in (("photo", 0), ("white", 255), ("grey", 128)):
        Image.new("L", (40, 30), grey).save(f"{name}.png")
    assert style_transfer.main(args) == 0
    return {**seen[0], **seen[1], "out": Path(printed[-1].rpartition(" ")[2])}


@cache
def linear_on_digits():
    """A network that has learned nothing."""
    task = make_task(RunConfig(model=Linear()), Facts.of(data.load("digits")))
    return Trained(task, task.model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1))), 1)


def looked(patch, args):
    seen = {"live": False}
    Image.new("RGB", (30, 20)).save("black.png")

    def load(run):
        seen["run"] = run
        return linear_on_digits()

    def page(subject, sections, on_section):
        seen.update(sections=sections, titles=subject.titles, units=subject.units, effort=subject.effort,
                    seed=subject.seed)  # fmt: skip
        return Page("", {}, [])

    patch.setattr(look, "load", load)
    patch.setattr(look, "look_page", page)
    patch.setattr(look, "write_report", lambda path, *page: seen.update(out=path.parent) or [])
    patch.setattr(look, "write_live_page", lambda *args: seen.update(live=True))
    patch.setattr(look.study, "reserve", lambda *args: None)
    assert look.main(args) == 0
    return seen
