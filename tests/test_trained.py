"""From a run directory to a network that can be used."""

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import convnet
from convnet import data, models, train
from convnet.architectures import CNN, MLP, Linear, ResNet
from convnet.config import DataConfig, RunConfig, TrainConfig
from convnet.journal import Stopped
from convnet.ops import AUTO, HAND
from convnet.record import read_manifest, write_json
from convnet.run import Trainer
from convnet.task import Facts, make_task
from convnet.train import OtherRun
from tests.compiling import quick_compilation

CONFIG = RunConfig(
    data=DataConfig("pictures", crop=5),
    model=CNN(widths=(4,), head_width=0),
    train=TrainConfig(epochs=3, batch_size=8),
)


def pictures(channels=1):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 3
    images = rng.integers(0, 200, (40, 7, 6, channels)) + 20 * labels[:, None, None, None]
    return data.from_arrays("pictures", images.astype(np.uint8), labels, class_names=("low", "middle", "high"))


def close(actual, expected):
    """Compiled otherwise, sums may have another order."""
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(autouse=True, scope="module")
def quick():
    with quick_compilation():
        yield


@pytest.fixture(scope="module")
def trainer():
    return Trainer(CONFIG, pictures())


@pytest.fixture(scope="module")
def finished(trainer, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run"
    return path, trainer.run(directory=path)


def test_a_finished_run_gives_the_logits_of_its_result(finished, trainer):
    path, result = finished
    network, test = convnet.load(path), pictures().test
    assert network.epoch == result.best_epoch
    assert network.class_names == ("low", "middle", "high")
    assert network.image_shape == (7, 6, 1)
    close(network.logits(test.images), result.test_logits)
    np.testing.assert_array_equal(network.predict(test.images), result.test_logits.argmax(1))
    assert np.mean(network.predict(test.images) == test.labels) == result.test_accuracy
    shifted = np.exp(result.test_logits - result.test_logits.max(1, keepdims=True))
    np.testing.assert_allclose(network.probabilities(test.images), shifted / shifted.sum(1, keepdims=True), rtol=1e-5)


def test_floats_from_0_to_1_and_grey_without_an_axis_are_the_same_images(finished):
    network, images = convnet.load(str(finished[0])), pictures().test.images
    expected = network.logits(images)
    np.testing.assert_array_equal(network.logits(images[..., 0]), expected)
    np.testing.assert_allclose(network.logits(images / np.float32(255)), expected, rtol=1e-4, atol=1e-5)


def test_activations_are_named_and_end_with_the_logits(finished):
    network, images = convnet.load(finished[0]), pictures().test.images[:4]
    found = network.activations(images)
    assert list(found) == ["conv1", "conv1_relu", "pool1", "logits"]  # in the order of the network
    assert found["conv1"].shape == (4, 5, 5, 4)  # of the centre that training crops
    np.testing.assert_allclose(found["logits"], network.logits(images), rtol=1e-5, atol=1e-6)
    dataset = pictures()
    expected = (images[:, 1:6, :5] - dataset.mean) / dataset.std
    np.testing.assert_allclose(network.preprocess(images), expected, rtol=1e-5, atol=1e-6)


def test_activations_of_nested_layers(tmp_path):
    config = replace(CONFIG, model=ResNet("resnet8", width=0.25), train=replace(CONFIG.train, epochs=1))
    Trainer(config, pictures(3)).run(directory=tmp_path)
    network, images = convnet.load(tmp_path), pictures(3).test.images[:2]
    found = network.activations(images)
    body, shortcut = (found[f"stage2/block1/{name}"] for name in ("conv2_norm", "shortcut_norm"))
    np.testing.assert_allclose(found["stage2/block1"], np.maximum(body + shortcut, 0), rtol=1e-5, atol=1e-6)
    assert list(found).index("stage1/block1") < list(found).index("stage2/block1/conv1")
    np.testing.assert_allclose(found["logits"], network.logits(images), rtol=1e-4, atol=1e-5)


def test_a_run_of_an_older_version_is_read(tmp_path):
    """It wrote down all that any model could have, and its models were classes of their own."""
    config = replace(CONFIG, model=MLP(widths=(5,)), train=replace(CONFIG.train, epochs=1))
    result = Trainer(config, pictures()).run(directory=tmp_path)
    manifest = read_manifest(tmp_path)
    manifest["config"]["model"] |= {"kernel": 3, "stride": 1, "pool": "max", "head": "dense", "head_width": 128}
    manifest["computes"]["model"] = "convnet.models.mlp.MLP"
    write_json(tmp_path / "manifest.json", manifest)
    network = convnet.load(tmp_path)
    assert network.config.model == config.model
    close(network.logits(pictures().test.images), result.test_logits)


def test_a_stopped_run_gives_the_network_of_its_newest_checkpoint(trainer, tmp_path):
    from convnet.signals import StopRequest

    stop, path = StopRequest(), tmp_path / "run"
    with pytest.raises(Stopped):
        trainer.run(directory=path, stop=stop, on_epoch=lambda record: stop.ask() if record.epoch == 2 else None)
    before = sorted(file.name for file in (path / "checkpoints").iterdir())
    network = convnet.load(path)
    assert network.epoch in (1, 2)
    assert network.logits(pictures().test.images).shape == (8, 3)
    assert sorted(file.name for file in (path / "checkpoints").iterdir()) == before
    whole = trainer.run(directory=path, resume=True)
    if whole.best_epoch <= 2:  # the best so far was the best in the end
        for a, b in zip(jax.tree.leaves(whole.variables), jax.tree.leaves(network.variables), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_another_run_is_refused(trainer, tmp_path):
    trainer.run(directory=tmp_path, every_epoch=True)
    manifest = read_manifest(tmp_path)
    manifest["config"]["seed"], manifest["status"] = 5, "running"
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(OtherRun, match=r"another run: config\.seed"):
        convnet.load(tmp_path)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            np.zeros((2, 6, 7, 1), np.uint8),
            r"images have shape \[2, 6, 7, 1\]: expected \[N, 7, 6, 1\], N at least 1",
        ),
        (np.zeros((0, 7, 6, 1), np.uint8), r"images have shape \[0, 7, 6, 1\]: expected \[N, 7, 6, 1\], N at least 1"),
        (np.zeros((7, 6), np.uint8), r"images have shape \[7, 6\]: expected"),
        (np.zeros((2, 7, 6, 1), np.int32), "images are int32: expected uint8, or floats from 0 to 1"),
        (np.full((2, 7, 6, 1), 17.0, np.float32), "images hold 17 … 17: expected floats from 0 to 1"),
        (np.full((2, 7, 6, 1), np.nan, np.float32), "images hold nan … nan: expected floats from 0 to 1"),
    ],
)
def test_other_images_are_refused(images, said, finished):
    with pytest.raises(ValueError, match=said):
        convnet.load(finished[0]).predict(images)


def test_what_is_no_run_or_has_learned_nothing_is_refused(finished, tmp_path):
    for text in ("", "[]", "{}", '{"config": 3}'):
        if text:
            (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match=r"it has no manifest\.json that can be read"):
            convnet.load(tmp_path)
    write_json(tmp_path / "manifest.json", read_manifest(finished[0]) | {"status": "diverged"})
    with pytest.raises(ValueError, match="its status is 'diverged', and it has no checkpoint"):
        convnet.load(tmp_path)


def test_runs_of_an_older_version_need_the_librarys_data(finished, tmp_path):
    manifest = json.loads((finished[0] / "manifest.json").read_text())
    del manifest["images"]
    write_json(tmp_path / "manifest.json", manifest)
    (tmp_path / "result.npz").write_bytes((finished[0] / "result.npz").read_bytes())
    with pytest.raises(ValueError, match="it does not tell how images of 'pictures' were normalised"):
        convnet.load(tmp_path)
    network = convnet.load(tmp_path, task=make_task(CONFIG, Facts.of(pictures())))
    close(network.logits(pictures().test.images), finished[1].test_logits)


def squared_relu(x):
    return HAND.relu(x) ** 2


def test_parts_of_ones_own_are_asked_for(tmp_path):
    """Those that what was learned is used with."""
    dataset = pictures()
    config = replace(CONFIG, train=replace(CONFIG.train, epochs=1))
    task = replace(make_task(config, Facts.of(dataset), opset=replace(HAND, relu=squared_relu)), loss=hinge)
    result = Trainer(config, dataset, task=task).run(directory=tmp_path)
    with pytest.raises(ValueError, match=r"squared_relu' is not the library's; give the task that it was made with"):
        convnet.load(tmp_path)
    close(convnet.load(tmp_path, task=task).logits(dataset.test.images), result.test_logits)


def test_float64_networks_and_colours(tmp_path):
    config = replace(CONFIG, model=Linear(precision="float64"), train=replace(CONFIG.train, epochs=1))
    result = Trainer(config, pictures(3)).run(directory=tmp_path)
    logits = convnet.load(tmp_path).logits(pictures(3).test.images)
    assert logits.dtype == np.float64
    close(logits, result.test_logits)


def test_the_package_says_what_it_has_not():
    with pytest.raises(AttributeError, match="module 'convnet' has no attribute 'loat'"):
        convnet.loat  # noqa: B018


# --- tasks ------------------------------------------------------------------------------------------------------------


def hinge(logits, labels):
    return jnp.maximum(0, 1 - jnp.take_along_axis(logits, labels[:, None], 1)[:, 0])


def inverted(facts, key, images):
    del key
    return (facts.image_shape[0] - images.astype(jnp.float32)) / 255


def test_each_part_can_be_ones_own_and_is_part_of_the_identity():
    import optax

    dataset = pictures()
    config = replace(CONFIG, data=DataConfig("pictures"), train=replace(CONFIG.train, epochs=1))
    usual = make_task(config, Facts.of(dataset))
    own = {
        "loss": hinge,
        "prepare": partial(inverted, usual.facts),
        "optimizer": lambda steps: optax.sgd(0.1),
        "model": models.build("mlp", num_classes=3, widths=(5,)),
        "init": models.warm_start(usual.model, usual.model.init(jax.random.key(7), jnp.zeros((1, *usual.input_shape)))),
    }
    plain = Trainer(config, dataset, compiled=False)
    identity = plain.identity(config)
    for name, part in own.items():
        trainer = Trainer(config, dataset, task=replace(usual, **{name: part}), compiled=False)
        found = trainer.identity(config)
        assert found["programs"] != identity["programs"]
        assert name == "model" or name in found["computes"]
    assert identity["computes"] == {"model": "convnet.models.network.Network", "ops": "hand"}


def test_a_run_with_parts_of_ones_own_computes_with_them():
    import optax

    dataset = pictures()
    config = replace(CONFIG, model=Linear(), train=replace(CONFIG.train, epochs=1, batch_size="full"))
    task = make_task(config, Facts.of(dataset))
    task = replace(task, optimizer=lambda steps: optax.sgd(0.0), prepare=lambda key, images: task.preprocess(images))
    result = Trainer(config, dataset, task=task).run()
    start = task.model.init(train.stream(jax.random.key(0), "init"), jnp.zeros((1, 5, 5, 1)))
    for a, b in zip(jax.tree.leaves(result.variables), jax.tree.leaves(start), strict=True):
        np.testing.assert_array_equal(a, b)  # a learning rate of 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda task: replace(task, facts=replace(task.facts, class_names=("a", "b"))), "of other data: class_names"),
        (lambda task: replace(task, facts=replace(task.facts, mean=(0.0,))), "of other data: mean differs"),
        (lambda task: replace(task, ops=AUTO), "other ops than its model"),
        (lambda task: replace(task, loss=hinge), "traced holds 'train.label_smoothing': the task's loss is one's own"),
    ],
    ids=["classes", "mean", "ops", "traced"],
)
def test_a_task_that_does_not_fit_is_refused(change, said):
    dataset = pictures()
    task = change(make_task(CONFIG, Facts.of(dataset)))
    with pytest.raises(ValueError, match=said):
        Trainer(CONFIG, dataset, task=task, traced=("train.label_smoothing",), compiled=False)


def test_the_same_kind_of_model_with_other_settings_is_ones_own(tmp_path):
    dataset = pictures()
    config = replace(CONFIG, train=replace(CONFIG.train, epochs=1))
    usual = make_task(config, Facts.of(dataset))
    assert usual.own == ()
    task = replace(usual, model=models.build(CNN(widths=(4,), activation="tanh"), num_classes=3))
    assert task.own == ("model",)
    Trainer(config, dataset, task=task).run(directory=tmp_path)
    with pytest.raises(ValueError, match="is not the library's; give the task"):
        convnet.load(tmp_path)
    assert convnet.load(tmp_path, task=task).model == task.model
    with pytest.raises(ValueError, match=r"task is of another config than .*: train\.epochs differs"):
        convnet.load(tmp_path, task=make_task(CONFIG, Facts.of(dataset)))


def test_a_task_of_another_config_or_beside_an_opset_is_refused():
    dataset = pictures()
    task = make_task(CONFIG, Facts.of(dataset))
    with pytest.raises(ValueError, match="task is of another config: seed differs"):
        Trainer(replace(CONFIG, seed=3), dataset, task=task)
    with pytest.raises(ValueError, match="opset is given beside a task"):
        Trainer(CONFIG, dataset, task=task, opset=HAND)


def test_facts_come_back_from_json_as_they_were():
    from dataclasses import asdict

    facts = Facts.of(pictures(3))
    assert Facts.from_dict(json.loads(json.dumps(asdict(facts)))) == facts
    dataset = pictures(3)
    np.testing.assert_array_equal(np.float32(facts.mean), dataset.mean)
    np.testing.assert_array_equal(np.float32(facts.std), dataset.std)
