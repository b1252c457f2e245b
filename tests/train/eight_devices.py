"""What training comes to on meshes of eight devices; a process of its own, as one decides once how many devices it has.

Prints what the function below found that is named, as a line of JSON.
"""

import json
import re
import sys
import tempfile
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from convnet import ops
from convnet.ablation import Replicates
from convnet.architectures import CNN, Airbench
from convnet.config import DataConfig, MeshConfig, OptimConfig, RunConfig, TrainConfig
from convnet.data import from_arrays
from convnet.ops import formulations
from convnet.ops.conv import conv2d_as
from convnet.record import parameter_hash, read_manifest, read_metrics
from convnet.run import Trainer
from convnet.train import Layout

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
warnings.simplefilter("ignore", DeprecationWarning)

ONE = MeshConfig(batch=1, replicates=1)
PLAIN = CNN(widths=(4, 6), head_width=8, precision="float64")
ALL_AT_ONCE = CNN(widths=(4,), pool="avg", norm="batch", dropout=0.3, head_width=8, precision="float64")


RECIPE = RunConfig(
    data=DataConfig(shift=1, flip=True, alternate=True, border="reflect", views="mirror_shift"),
    model=Airbench(widths=(4, 6), precision="float64"),
    optim=OptimConfig("muon", 0.1, rescale=True, rates=("logits/*=0.02", "whiten/bias=0.1@0.5")),
    train=TrainConfig(epochs=2, batch_size=16),
)


def dataset():
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    images = rng.integers(0, 100, (160, 8, 9, 3)) + 40 * labels[:, None, None, None]
    return from_arrays("squares", images.astype(np.uint8), labels)


def config(model=PLAIN, epochs=2, **data):
    return RunConfig(
        data=DataConfig(**data),
        model=model,
        optim=OptimConfig(learning_rate=0.1),
        train=TrainConfig(epochs=epochs, batch_size=16),
    )


def curve(result):
    """Every figure of training, and the test loss."""
    return [x for r in result.records for x in (r.train_loss, r.grad_norm, r.validation_loss)] + [result.test_loss]


def curves_of_meshes():
    """The loss curves of one device and of others, with everything that looks at a batch as a whole."""
    found = {}
    runs = {"all": config(ALL_AT_ONCE, shift=1, flip=True), "recipe": RECIPE}
    for name, run in runs.items():
        for devices in (1, 8):
            found[f"{name} {devices}"] = curve(Trainer(run, dataset(), mesh=MeshConfig(batch=devices)).run())
    return found


def in_bfloat16():
    """The loss after an epoch, of one device and of two, where XLA's CPU compiler once aborted."""
    return [curve(Trainer(config(CNN(precision="bfloat16"), epochs=1), dataset(), mesh=MeshConfig(batch=n)).run())[0]
            for n in (1, 2)]  # fmt: skip


def equal_meshes():
    results = [Trainer(config(), dataset(), mesh=MeshConfig(batch=4)).run() for _ in range(2)]
    return [parameter_hash(result.variables) for result in results]


def sent_between_devices():
    """What the compiled epoch sends: kinds of collectives, how many values, and how many parameters there are."""
    trainer = Trainer(config(replace(PLAIN, precision="float32")), dataset())
    sent = collectives(trainer.programs().epoch.as_text())
    return {"devices": trainer.layout().batch, "parameters": trainer.parameters, "sent": sent}


def collectives(text):
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    found = []
    for shapes, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        sizes = [np.prod([int(n) for n in shape.split(",") if n]) for shape in re.findall(r"\w\d+\[([\d,]*)\]", shapes)]
        found.append([kind, int(sum(sizes))])
    return found


def replicates_on_devices():
    """Three replicates on eight devices, and each in a program of one device."""
    found = {}
    seeds = [replace(config(replace(PLAIN, precision="float32")), seed=seed) for seed in range(3)]
    for name, mesh in {"eight": MeshConfig(), "one": ONE}.items():
        runs = Replicates(seeds[0], dataset(), vmapped=True, chunk=1, mesh=mesh)
        found[name] = [parameter_hash(outcome.variables) for _, outcome in runs.run_all(seeds)]
        if name == "eight":
            width = runs.together
            found["sent"] = collectives(runs.trainer.programs(width).epoch.as_text())
            found["width"] = width
    return found


def both_axes():
    """Two replicates, each on four devices, beside one device for both."""
    seeds = [replace(config(), seed=seed) for seed in range(2)]
    found = {}
    for name, mesh in {"eight": MeshConfig(batch=4, replicates=2), "one": ONE}.items():
        runs = Replicates(seeds[0], dataset(), vmapped=True, mesh=mesh)
        found[name] = [curve(outcome) for _, outcome in runs.run_all(seeds)]
    return found


def refused():
    """What is said of meshes that cannot be."""
    wrong = {
        "too many": dict(batch=16),
        "uneven": dict(batch=3),
        "too many in all": dict(batch=4, replicates=4),
    }
    found = {}
    for name, mesh in wrong.items():
        try:
            Trainer(config(), dataset(), mesh=MeshConfig(**mesh)).programs(2 if name == "too many in all" else 0)
        except ValueError as error:
            found[name] = str(error)
    return found


def resumed_on_another_mesh():
    """A run that is stopped on eight devices, and goes on on two: refused, then accepted."""

    class Enough(Exception):
        pass

    def stop(record):
        if record.epoch == 2:
            raise Enough

    found, run = {}, config(epochs=3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        with suppress(Enough):
            Trainer(run, dataset()).run(on_epoch=stop, directory=path, every_epoch=True)
        two = Trainer(run, dataset(), mesh=MeshConfig(batch=2))
        try:
            two.run(directory=path, resume=True)
        except ValueError as error:
            found["refused"] = str(error)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = two.run(directory=path, resume=True, accept_changes=True)
        found["changed"] = read_manifest(path)["resumed"][-1]["changed"]["mesh.batch"]
        found["epochs"] = [line["epoch"] for line in read_metrics(path)]
        found["resumed"], found["whole"] = curve(result), curve(Trainer(run, dataset(), mesh=ONE).run())
    return found


def gradients_of_every_formulation():
    """The largest difference of conv2d's value and gradients on the mesh from those of one device."""
    rng, found = np.random.default_rng(0), {}
    x, w, b = rng.normal(size=(16, 9, 9, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    with jax.enable_x64(True):
        for name in formulations.MAPS:
            for form in formulations.ON_CPU[name]:
                try:
                    found[f"{name} {form.name}"] = difference(conv_with(**{name: form.name}), x, w, b)
                except ValueError:
                    continue  # which cannot compute this problem
        found["grouped"] = difference(lambda x, w, b: ops.conv2d(x, w, b, groups=3), x, w[:, :, :1, :3], b[:3])
        found["vmap over kernels"] = difference(
            jax.vmap(ops.conv2d, (None, 0, 0)), x, np.stack([w, -w]), np.stack([b, b])
        )
        pool = lambda x: ops.avg_pool(ops.max_pool(x, 2, stride=1), 2)  # noqa: E731
        found["pools"] = difference(pool, x)
        found["a batch that does not divide"] = difference(ops.conv2d, x[:3], w, b)
    return found


def conv_with(**choice):
    conv = conv2d_as(**choice)
    return lambda x, w, b: conv(x, w, b)


def difference(f, *args):
    def both(*args):
        y, pull = jax.vjp(f, *args)
        hessian = jax.grad(lambda *a: sum(jnp.sum(jnp.sin(p)) for p in jax.tree.leaves(jax.vjp(f, *a)[1](jnp.cos(y)))))
        return y, pull(jnp.sin(y)), hessian(*args)

    alone = jax.jit(both)(*args)
    with Layout(batch=8).in_use():
        shared = jax.jit(both)(*args)
    pairs = zip(*map(jax.tree.leaves, (alone, shared)), strict=True)
    return max(float(np.abs(a - b).max() / (np.abs(a).max() or 1)) for a, b in pairs)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
