"""What the same run is: other data, ops or models are told, whoever wrote them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from convnet import data, ops
from convnet.architectures import Own
from convnet.record import read_manifest
from convnet.run import Trainer
from convnet.task import Facts, make_task
from convnet.train import OtherRun
from tests.compiling import quick_compilation
from tests.tiny_runs import BASE, Interrupted, fingerprint, small_evaluation_batches, stop_in, tiny_dataset, trainer  # noqa: F401


def other_data():
    """One pixel of one test image is another."""
    dataset = tiny_dataset()
    images = dataset.test.images.copy()
    images[3, 2, 1, 0] ^= 1
    return replace(dataset, test=data.Split(images, dataset.test.labels))


@jax.custom_jvp
def leaky(x):
    return jnp.maximum(x, SLOPE * x)


SLOPE = 0.1
leaky.defjvp(lambda x, dx: (leaky(*x), jnp.where(x[0] > 0, 1, SLOPE) * dx[0]))


class TwoLooks(nn.Module):
    """A user's own model, a plain Flax module, which is edited: another scale inside its body."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(BODY * x.reshape(len(x), -1))


BODY = 1.0


def start(directory, **kinds):
    """A run of two epochs that is stopped after the first."""
    with pytest.raises(Interrupted):
        short(**kinds).run(directory=directory, every_epoch=True, on_epoch=stop_in(2))


def short(dataset=None, own=None, **settings):
    """own: a model of one's own."""
    config, dataset = replace(BASE, train=replace(BASE.train, epochs=2)), dataset or tiny_dataset()
    if own is not None:
        config = replace(config, model=Own(label=type(own).__name__))
        settings["task"] = replace(make_task(config, Facts.of(dataset)), model=own)
    with quick_compilation():
        return Trainer(config, dataset, **settings)


def test_other_data_under_the_same_config_is_another_run(tmp_path):
    """Of a finished run the old result would be handed out, of an unfinished one half would be of each."""
    start(tmp_path / "begun")
    short().run(directory=tmp_path / "finished")
    for path in (tmp_path / "begun", tmp_path / "finished"):
        with pytest.raises(OtherRun, match=r"holds another run: data\.digest \('.*' then, '.*' now\)$"):
            short(other_data()).run(directory=path, resume=True)
    assert short().run(directory=tmp_path / "begun", resume=True).best_epoch


def test_other_ops_are_another_run(tmp_path):
    own = replace(ops.HAND, relu=leaky)
    start(tmp_path)
    with pytest.raises(OtherRun, match=r"computes\.ops \('hand' then, \{'relu': '.*leaky'\} now\)$"):
        short(opset=own).run(directory=tmp_path, resume=True)


def test_an_op_or_a_model_that_was_edited_has_other_bits(tmp_path, monkeypatch):
    """Under the same name: no config and no source of the library tells."""
    kinds = {"op": dict(opset=replace(ops.HAND, relu=leaky)), "model": dict(own=TwoLooks())}
    start(tmp_path / "op", **kinds["op"])
    short(**kinds["model"]).run(directory=tmp_path / "model")
    monkeypatch.setitem(globals(), "SLOPE", 0.2)
    monkeypatch.setitem(globals(), "BODY", 2.0)
    edited = {name: short(**kind) for name, kind in kinds.items()}
    for name, now in edited.items():
        with pytest.raises(OtherRun, match=r"other bits now: programs\.epoch \('.*' then, '.*' now\), programs\."):
            now.run(directory=tmp_path / name, resume=True)
    with pytest.warns(UserWarning, match="resumed after a change, so bits may differ: programs"):
        edited["op"].run(directory=tmp_path / "op", resume=True, accept_changes=True)


def test_programs_that_are_compiled_otherwise_have_other_bits(tmp_path):
    start(tmp_path)
    assert read_manifest(tmp_path)["compiler"] == {"products": "float32", "deterministic": True, "options": {}}
    other = short(deterministic=False)
    with pytest.raises(OtherRun, match=r"other bits now: compiler\.deterministic \(True then, False now\)$"):
        other.run(directory=tmp_path, resume=True)
    with pytest.warns(UserWarning, match="resumed after a change, so bits may differ: compiler"):
        other.run(directory=tmp_path, resume=True, accept_changes=True)


def test_another_seed_or_trainer_has_the_same_programs():
    """Else no run could be resumed in another process."""
    assert short().digests() == short().digests()
    assert trainer().identity(BASE)["programs"] == trainer().identity(replace(BASE, seed=9))["programs"]


def test_the_manifest_speaks_of_the_users_own_data(tmp_path):
    """A config that names none has the default, digits; what is trained on is what is recorded."""
    own = replace(tiny_dataset(), name="bright or dark")
    result = short(own).run(directory=tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest["data"] == {
        "name": "bright or dark",
        "digest": own.digest,
        "shape": [6, 6, 1],
        "sizes": {"train": 22, "validation": 17, "test": 14},
        "classes": 3,
    }
    assert manifest["config"]["data"]["name"] == result.config.data.name == "bright or dark"
    assert manifest["computes"] == {"model": "convnet.models.network.Network", "ops": "hand"}
    assert fingerprint(short(own).run(directory=tmp_path, resume=True)) == fingerprint(result)
