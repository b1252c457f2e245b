"""Configs: what they refuse, the JSON round trip, and the content hash that names a run's directory."""

import dataclasses
import json

import pytest

from convnet.architectures import CNN, MLP, Linear
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig, recorded
from convnet.settings import content_hash, from_dict, to_dict

NAN = float("nan")

UNUSUAL = RunConfig(
    data=DataConfig(name="mnist", limit=100, shift=2, flip=True, crop=6),
    model=CNN(
        **dict(widths=(7, 5), depth=2, kernel=5, first_kernel=7, stride=2, pool="avg", activation="tanh", norm="layer"),
        **dict(dropout=0.25, head="global_avg", head_width=0),
        **dict(initializer="he_normal", initializer_scale=0.5, precision="bfloat16"),
    ),
    optim=OptimConfig(
        **dict(name="adamw", learning_rate=0.001, momentum=0.8, weight_decay=0.01, decoupled=True, clip_norm=1.5),
        **dict(schedule="step", warmup=0.1, step_at=(0.25, 0.5, 0.9), step_factor=0.5),
    ),
    train=TrainConfig(epochs=3, batch_size="full", loss="weston_watkins"),
    gradient="auto",
    seed=9,
)
"""Differs from the defaults in every field, so that none is lost unseen; but for the smoothing, which this loss has
not, and the model, which has settings of its own."""
SMOOTHING, MODEL = ("train", "label_smoothing"), ("model", "name")


def leaves(values: dict, path: tuple[str, ...] = ()):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def nested(path: tuple[str, ...], value) -> dict:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


FIELDS = [path for path, _ in leaves(to_dict(RunConfig()))]


# --- round trip -------------------------------------------------------------------------------------------------------


def test_the_unusual_config_differs_from_the_default_in_every_field():
    default, unusual = dict(leaves(to_dict(RunConfig()))), dict(leaves(to_dict(UNUSUAL)))
    assert [path for path in FIELDS if default[path] == unusual[path]] == [MODEL, SMOOTHING]


@pytest.mark.parametrize("config", [RunConfig(), UNUSUAL], ids=["default", "unusual"])
def test_json_round_trip(config):
    again = from_dict(RunConfig, json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert content_hash(again) == content_hash(config)
    assert hash(again) == hash(config)  # lists would have come back as lists, which cannot be hashed


@pytest.mark.parametrize("path", [path for path in FIELDS if path != MODEL], ids=".".join)
def test_one_setting_changes_that_setting_and_the_hash(path):
    value = (dict(leaves(to_dict(UNUSUAL))) | {SMOOTHING: 0.1})[path]
    changed = from_dict(RunConfig, nested(path, value))
    found = {p for (p, new), (_, old) in zip(leaves(to_dict(changed)), leaves(to_dict(RunConfig())), strict=True)
             if new != old}  # fmt: skip
    assert found == {path}
    assert content_hash(changed) != content_hash(RunConfig())


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="seed"):
        RunConfig().seed = 1


# --- hash -------------------------------------------------------------------------------------------------------------


def test_the_hash_is_pinned():
    """Run directories are named by it: it may not depend on process, Python or platform. A change of the defaults or
    fields changes it, and then these two values are to be renewed, on purpose."""
    assert content_hash(TrainConfig()) == "c11f8ae2a4ab"
    assert content_hash(UNUSUAL) == "42c05028e352"


def test_a_config_from_before_there_was_tf32_is_what_it_was():
    older = {"name": "cnn", "precision": "float32"}
    assert recorded({"model": older}) == RunConfig()
    assert content_hash(RunConfig()) == "edfa891652ba"
    assert content_hash(RunConfig(model=CNN(precision="tf32"))) != content_hash(RunConfig())


def test_a_config_without_a_folder_is_what_it_was_before_there_were_folders():
    assert list(to_dict(DataConfig())) == ["name", "limit", "shift", "flip", "crop"]


def test_settings_that_came_later_are_left_out_where_they_are_as_before():
    """So configs, and runs, from before there were such settings are what they were."""
    later = {
        "data": dict(alternate=True, border="reflect", views="mirror"),
        "optim": dict(rates=("*=0.1",), newton_schulz_steps=3, rest_momentum=0.0, rescale=True),
    }
    for section, values in later.items():
        base = SECTIONS[section](**({"flip": True} if section == "data" else {}))
        assert not to_dict(base).keys() & values.keys()
        for name, value in values.items():
            config = dataclasses.replace(base, **{name: value})
            assert to_dict(config).keys() - to_dict(base).keys() == {name}
            assert from_dict(type(base), json.loads(json.dumps(to_dict(config)))) == config
            assert content_hash(config) != content_hash(base)


def test_flips_alternate_only_where_there_are_flips():
    with pytest.raises(ValueError, match=r"^data\.alternate is True: expected False where data\.flip is False$"):
        DataConfig(alternate=True)
    assert DataConfig(flip=True, alternate=True).alternate


def test_a_folder_gives_the_data_its_name_and_is_kept_as_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(data=DataConfig(folder="pets", size=64, skip_unreadable=True))
    assert (config.data.name, config.data.folder) == ("pets", str(tmp_path / "pets"))
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config
    assert DataConfig(name="pets", folder="pets") == DataConfig(folder="pets")
    for name in ("mnist", "dogs"):
        with pytest.raises(ValueError, match=rf"data.name is '{name}': expected none beside data.folder, .* 'pets'$"):
            DataConfig(name=name, folder="pets")
    with pytest.raises(ValueError, match=r"data\.size is 0: expected a positive number of pixels"):
        DataConfig(folder="pets", size=0)


def test_where_a_folder_lies_is_not_what_a_run_is(tmp_path):
    here, there, other = (RunConfig(data=DataConfig(folder=str(tmp_path / at))) for at in ("pets", "new/pets", "dogs"))
    assert here != there
    assert content_hash(here) == content_hash(there) != content_hash(other)
    assert recorded(to_dict(here, places=False), there.data.folder) == there
    assert content_hash(RunConfig(data=dataclasses.replace(here.data, size=8))) != content_hash(here)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (OptimConfig(learning_rate=1), OptimConfig(learning_rate=1.0)),
        (CNN(dropout=0), CNN(dropout=0.0)),
        (OptimConfig(weight_decay=0), OptimConfig(weight_decay=0.0)),
    ],
    ids=["learning_rate", "dropout", "weight_decay"],
)
def test_equal_configs_have_equal_hashes(one, other):
    """ "Equal configs (equal hashes)": 1 and 1.0 are one learning rate, so one run and one directory."""
    assert one == other
    assert content_hash(one) == content_hash(other)


# --- unknown keys and wrong types -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 3}, r"^unknown setting 'epochs': expected one of data, model, optim, train, gradient, seed$"),
        ({"train": {"epoch": 3}}, r"^unknown setting 'train\.epoch': did you mean epochs\?$"),
        ({"model": {"name": "mlp", "kernel": 3}}, r"^unknown setting 'model\.kernel' of mlp: expected one of name"),
    ],
    ids=["top", "train", "another model's"],
)
def test_an_unknown_setting_is_named_with_the_nearest_ones(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(RunConfig, values)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("seed", "1", "int"),
        ("seed", 1.0, "int"),
        ("seed", True, "int"),
        ("seed", None, "int"),
        ("data.name", 3, "str"),
        ("data.limit", "ten", "int or NoneType"),
        ("data.limit", 2.5, "int or NoneType"),
        ("data.flip", 1, "bool"),
        ("data.flip", "yes", "bool"),
        ("model.widths", 32, "tuple"),
        ("model.depth", None, "int"),
        ("model.pool", ["max"], "'max', 'avg'"),
        ("optim.learning_rate", "0.1", "float"),
        ("optim.learning_rate", True, "float"),
        ("optim.step_at", 0.5, "tuple"),
        ("train.batch_size", True, "int or 'full'"),
        ("train.epochs", 1.5, "int"),
        ("model", 3, "a mapping of settings"),
        ("train", None, "a mapping of settings"),
    ],
)
def test_a_wrong_type_is_refused_by_name_and_value(path, value, expected):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the three parts of the message are compared below
        from_dict(RunConfig, nested(tuple(path.split(".")), value))
    message = str(caught.value)
    assert message.startswith(f"{path} is {value!r}: expected ")
    assert expected in message


def test_a_wrong_item_of_a_list_is_refused():
    with pytest.raises(ValueError, match=r"model\.widths is 'a': expected int"):
        from_dict(RunConfig, {"model": {"widths": [3, "a"]}})


# --- ranges -----------------------------------------------------------------------------------------------------------

SECTIONS = {"data": DataConfig, "model": CNN, "optim": OptimConfig, "train": TrainConfig}

REFUSED = {
    "data.limit": [0, -1],
    "data.shift": [-1],
    "data.crop": [0, -3],
    "model.widths": [(), (0,), (8, -1)],
    "model.depth": [0, -1],
    "model.kernel": [0],
    "model.first_kernel": [0, -1],
    "model.stride": [0],
    "model.dropout": [-0.1, 1.1, NAN],
    "model.head_width": [-1],
    "optim.learning_rate": [0.0, -0.1, NAN],
    "optim.momentum": [-0.1, 1.0, NAN],
    "optim.weight_decay": [-1e-4, NAN],
    "optim.clip_norm": [0.0, -1.0, NAN],
    "optim.warmup": [-0.1, 1.1, NAN],
    "optim.step_at": [(0.5, 0.25), (0.0, 0.5), (0.5, 1.0)],
    "optim.step_factor": [0.0, -0.1, NAN],
    "optim.newton_schulz_steps": [0, -1],
    "optim.rest_momentum": [-0.1, 1.0, NAN],
    "train.epochs": [0, -1],
    "train.batch_size": [0, -1],
    "train.label_smoothing": [-0.1, 1.01, NAN],
}

ACCEPTED = {
    "data.limit": [1, None],
    "data.crop": [1],
    "model.widths": [(1,), None],
    "model.dropout": [0.0, 1.0],
    "model.head_width": [0],
    "optim.momentum": [0.0],
    "optim.warmup": [0.0, 1.0],
    "optim.step_at": [(), (0.5,)],
    "optim.rates": [(), ("*=0",), ("a=1@1", "b=2")],
    "optim.newton_schulz_steps": [1],
    "optim.rest_momentum": [0.0, None],
    "train.batch_size": [1, "full"],
    "train.label_smoothing": [0.0, 1.0],
}


def table(cases: dict) -> list:
    return [pytest.param(*name.split("."), value, id=f"{name}={value}") for name, vs in cases.items() for value in vs]


@pytest.mark.parametrize(("section", "name", "value"), table(REFUSED))
def test_a_value_out_of_range_is_refused_at_construction(section, name, value):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  compared below, without escaping every value
        SECTIONS[section](**{name: value})
    assert str(caught.value).startswith(f"{section}.{name} is {value!r}: expected ")


@pytest.mark.parametrize(("section", "name", "value"), table(ACCEPTED))
def test_the_ends_of_a_range_are_accepted(section, name, value):
    assert getattr(SECTIONS[section](**{name: value}), name) == value


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("section", "name"),
    [(OptimConfig, "learning_rate"), (OptimConfig, "clip_norm"), (CNN, "initializer_scale")],
)
def test_what_is_no_finite_number_is_refused(section, name, value):
    with pytest.raises(ValueError, match=rf"{name} is .*(nan|inf).*: expected a finite number"):
        section(**{name: value})


@pytest.mark.parametrize("loss", ["weston_watkins", "crammer_singer"])
def test_label_smoothing_is_refused_with_a_loss_that_has_no_targets(loss):
    """It would do nothing, and be reported as "no difference"."""
    message = rf"^train\.label_smoothing is 0\.1: expected 0 where train\.loss is '{loss}', which has no targets"
    with pytest.raises(ValueError, match=message):
        TrainConfig(loss=loss, label_smoothing=0.1)
    assert TrainConfig(loss=loss).label_smoothing == 0
    assert TrainConfig(label_smoothing=0.1).label_smoothing == 0.1


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match=r"^seed is -1: expected 0 or more$"):
        RunConfig(seed=-1)


def test_ranges_hold_in_from_dict_too():
    with pytest.raises(ValueError, match=r"^train\.epochs is 0: expected 1 or more$"):
        from_dict(RunConfig, {"train": {"epochs": 0}})


@pytest.mark.parametrize(
    ("section", "name", "value"),
    table(
        {
            "model.pool": ["median"],
            "model.activation": ["swish"],
            "model.head": ["flatten"],
            "model.precision": ["float16"],
            "data.border": ["wrap"],
            "data.views": ["ten"],
            "optim.schedule": ["exponential"],
            "train.loss": ["hinge"],
            "train.batch_size": ["half"],
        }
    ),
)
def test_a_word_that_is_not_one_of_the_literals_is_refused_at_construction(section, name, value):
    """The module's promise: whatever is not a name in somebody's table is refused here. Nobody further down checks
    these: `pool="median"` would train a network without pooling."""
    with pytest.raises(ValueError, match=rf"{section}\.{name} is '{value}': expected "):
        SECTIONS[section](**{name: value})


def test_an_unknown_gradient_is_refused_at_construction():
    with pytest.raises(ValueError, match=r"gradient is 'numeric': expected "):
        RunConfig(gradient="numeric")


# --- configs of older versions ----------------------------------------------------------------------------------------


def older(**model):
    """What they wrote: every model had the settings that the CNN has now."""
    values = to_dict(RunConfig())
    return values | {"model": values["model"] | model}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (older(name="cnn", depth=2), CNN(depth=2)),
        (older(name="mlp", widths=[8, 4], kernel=5, dropout=0.5), MLP(widths=(8, 4), dropout=0.5)),
        (older(name="linear", widths=[8], initializer="zeros"), Linear(initializer="zeros")),
    ],
    ids=["cnn", "mlp", "linear"],
)
def test_a_config_of_an_older_version_is_read(values, expected):
    assert recorded(values) == RunConfig(model=expected)


def test_a_config_of_an_older_version_is_not_read_as_anything():
    with pytest.raises(ValueError, match=r"unknown setting 'model\.filters' of mlp"):
        recorded(older(name="mlp", filters=3))
    with pytest.raises(ValueError, match=r"model\.name is 'two_looks': expected one of linear, mlp, cnn"):
        recorded(older(name="two_looks"))
    with pytest.raises(ValueError, match=r"model\.name is \['cnn'\]"):
        recorded(older(name=["cnn"]))


def test_the_usual_settings_are_pinned():
    """Whoever changes one changes every run that does not name it."""
    usual = to_dict(RunConfig())
    assert usual["data"] == {"name": "digits", "limit": None, "shift": 0, "flip": False, "crop": None}
    assert usual["optim"] == {
        "name": "nesterov",
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "decoupled": False,
        "clip_norm": None,
        "schedule": "cosine",
        "warmup": 0.0,
        "step_at": [0.5, 0.75],
        "step_factor": 0.1,
    }
    assert usual["train"] == {"epochs": 20, "batch_size": 64, "loss": "softmax", "label_smoothing": 0.0}
    assert (usual["model"]["name"], usual["gradient"], usual["seed"]) == ("cnn", "hand", 0)


def test_every_seed_of_32_bits_is_one():
    assert [RunConfig(seed=seed).seed for seed in (0, 35, 2**32 - 1)] == [0, 35, 2**32 - 1]
    with pytest.raises(ValueError, match=r"^seed is 4294967296: expected less than 2\*\*32"):
        RunConfig(seed=2**32)
