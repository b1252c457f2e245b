"""Factors and levels become configs; what cannot be one is refused with the nearest names."""

import pytest

from convnet.ablation.grid import (
    FIELDS,
    Factor,
    expand,
    factor,
    label,
    parse_factor,
)
from convnet.architectures import MODELS
from convnet.config import RunConfig
from convnet.settings import apply, content_hash, differences, to_dict

KERNEL = parse_factor("model.kernel=3,5,7")
OPTIM = parse_factor("optim.name=sgd,momentum")
HUGE = [
    Factor(path, {str(i): {path: i} for i in range(1, 1001)})
    for path in ("model.kernel", "model.depth", "model.stride", "train.epochs")
]


# --- reading ----------------------------------------------------------------------------------------------------------

READ = {
    "words": ("model.initializer=zeros,he_normal", ["zeros", "he_normal"]),
    "whole numbers": ("model.kernel=3,5", [3, 5]),
    "fractions": ("optim.learning_rate=0.1,1e-3,2", [0.1, 0.001, 2.0]),
    "a number or a word": ("train.batch_size=8,full", [8, "full"]),
    "none": ("model.first_kernel=none,5", [None, 5]),
    "truth": ("data.flip=true,False", [True, False]),
    "tuples": ("model.widths=16,16+32,none", [(16,), (16, 32), None]),
    "tuples of fractions": ("optim.step_at=0.5,0.25+0.75", [(0.5,), (0.25, 0.75)]),
    "at the top": ("gradient=hand,auto", ["hand", "auto"]),
}


@pytest.mark.parametrize(("text", "values"), READ.values(), ids=READ)
def test_levels_are_of_their_fields_type(text, values):
    path = text.split("=")[0]
    levels = parse_factor(text).levels
    assert list(levels.values()) == [{path: value} for value in values]
    assert [type(settings[path]) for settings in levels.values()] == [type(value) for value in values]


@pytest.mark.parametrize("text", [text for text, _ in READ.values()])
def test_a_label_is_what_the_command_line_reads(text):
    path, levels = text.split("=")[0], parse_factor(text).levels
    again = parse_factor(f"{path}={','.join(levels)}").levels
    assert again == levels


def test_every_setting_may_be_a_factor_but_the_seed():
    def leaves(values, prefix=""):
        for name, value in values.items():
            yield from leaves(value, f"{name}.") if isinstance(value, dict) else [prefix + name]

    configs = [apply(RunConfig(), {"model.name": name}) for name in MODELS]
    assert {path for config in configs for path in leaves(to_dict(config))} - set(FIELDS) == {"seed"}


BAD = {
    "unknown path": (
        "model.initialiser=zeros",
        r"unknown setting 'model\.initialiser': did you mean model\.initializer",
    ),
    "a path without its section": ("initializer=zeros", r"'initializer': did you mean model\.initializer"),
    "nothing near": ("lr=1", r"unknown setting 'lr': expected one of data\.name, "),
    "the seed": ("seed=1,2", "seed is no factor"),
    "unknown initialiser": ("model.initializer=he_nrmal", r"initializer is 'he_nrmal': did you mean he_normal"),
    "unknown optimiser": ("optim.name=sdg", r"optim\.name is 'sdg': did you mean sgd"),
    "unknown model": ("model.name=xyz", r"model\.name is 'xyz': expected one of linear, mlp, cnn, lenet5"),
    "unknown word": ("model.pool=maxx", r"model\.pool is 'maxx': did you mean max\?"),
    "no whole number": ("model.kernel=3.5", r"model\.kernel is '3\.5': expected int"),
    "no number": ("optim.learning_rate=fast", r"optim\.learning_rate is 'fast': expected float"),
    "no batch size": ("train.batch_size=some", r"train\.batch_size is 'some': expected int or 'full'"),
    "no truth": ("data.flip=maybe", r"data\.flip is 'maybe': expected bool"),
    "a level twice": ("model.kernel=3,5,3", r"factor model\.kernel has the level 3 twice"),
    "no levels": ("model.kernel=", r"factor is 'model\.kernel=': expected PATH=LEVEL,LEVEL"),
    "no equals sign": ("model.kernel", r"factor is 'model\.kernel': expected PATH"),
    "an empty level": ("model.kernel=3,", r"model\.kernel is '': expected int"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_a_bad_factor_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_factor(text)


BAD_VALUES = {
    "wrong type": ("model.kernel", ["three"], r"model\.kernel is 'three': expected int"),
    "a truth for a number": ("model.kernel", [True], r"model\.kernel is True: expected int"),
    "no list": ("model.kernel", 3, r"factor model\.kernel is 3: expected a list of levels, or a table"),
    "an empty list": ("model.kernel", [], r"factor model\.kernel is \[\]: expected one level or more"),
    "an unknown path in a table": ("f", {"a": {"model.kernl": 3}}, r"'model\.kernl': did you mean model\.kernel"),
    "a table of numbers": ("f", {"a": 3}, r"expected a table of settings"),
}


@pytest.mark.parametrize(("name", "levels", "message"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values_are_refused(name, levels, message):
    with pytest.raises(ValueError, match=message):
        factor(name, levels)


def test_a_level_may_change_several_settings():
    both = factor("descent", {"batch": {"train": {"batch_size": "full"}, "optim.learning_rate": 1}})
    assert both.levels == {"batch": {"train.batch_size": "full", "optim.learning_rate": 1}}
    (arm,) = expand(RunConfig(), [both])
    assert (arm.name, arm.config.train.batch_size, arm.config.optim.learning_rate) == ("batch", "full", 1.0)


def test_a_level_out_of_range_is_refused_when_it_becomes_an_arm():
    with pytest.raises(ValueError, match=r"model\.kernel is 0: expected 1 or more"):
        expand(RunConfig(), [parse_factor("model.kernel=3,0")])


def test_settings():
    assert [label(x) for x in (None, True, (1, 2), "x", 0.1)] == ["none", "true", "1+2", "x", "0.1"]
    changed = apply(RunConfig(), {"model.kernel": 5, "gradient": "auto"})
    assert differences(to_dict(RunConfig()), to_dict(changed)) == {"model.kernel": (3, 5), "gradient": ("hand", "auto")}


def test_settings_that_only_fit_together_are_applied_together():
    cropped = apply(RunConfig(), {"train.loss": "softmax", "train.label_smoothing": 0.1, "train.epochs": 1})
    assert (cropped.train.label_smoothing, cropped.train.epochs) == (0.1, 1)


# --- designs ----------------------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_and_starts_with_the_first_levels():
    arms = expand(RunConfig(), [KERNEL, OPTIM])
    assert [(arm.config.model.kernel, arm.config.optim.name) for arm in arms] == [
        (kernel, name) for kernel in (3, 5, 7) for name in ("sgd", "momentum")
    ]
    assert arms[0].name == "kernel 3, optim sgd"
    assert arms[5].levels == {"model.kernel": "7", "optim.name": "momentum"}


def test_names_tell_like_named_settings_apart():
    arms = expand(RunConfig(), [parse_factor("model.name=cnn,mlp"), parse_factor("data.name=digits,mnist")])
    assert arms[0].name == "model cnn, data digits"
    assert expand(RunConfig(), [KERNEL])[0].name == "3"


def test_one_at_a_time_starts_with_the_base_and_leaves_out_what_it_has():
    arms = expand(RunConfig(), [KERNEL, OPTIM], "one-at-a-time")  # the base has kernel 3 and nesterov
    assert [arm.name for arm in arms] == ["base", "kernel 5", "kernel 7", "optim sgd", "optim momentum"]
    assert arms[0].config == RunConfig()
    assert all(len(differences(to_dict(RunConfig()), to_dict(arm.config))) == 1 for arm in arms[1:])


def test_a_random_design_is_a_seeded_part_of_the_grid_with_its_first_arm():
    grid = {content_hash(arm.config) for arm in expand(RunConfig(), [KERNEL, OPTIM])}
    drawn = [expand(RunConfig(), [KERNEL, OPTIM], "random", sample=3, sample_seed=seed) for seed in range(20)]
    for arms in drawn:
        assert len(arms) == 3
        assert arms[0].name == "kernel 3, optim sgd"
        assert {content_hash(arm.config) for arm in arms} <= grid
    assert len({tuple(arm.name for arm in arms) for arms in drawn}) > 5
    assert drawn[4] == expand(RunConfig(), [KERNEL, OPTIM], "random", sample=3, sample_seed=4)
    assert len(expand(RunConfig(), [KERNEL, OPTIM], "random", sample=99)) == 6


def test_a_random_part_of_a_huge_grid_needs_no_grid():
    assert len(expand(RunConfig(), HUGE, "random", sample=2)) == 2


REFUSED = {
    "a shared path": (
        [KERNEL, factor("big", {"a": {"model.kernel": 9}})], {}, r"factors model\.kernel and big both set model\.kernel"
    ),
    "a factor twice": ([Factor("f", {"a": {"model.kernel": 3}}), Factor("f", {"a": {"model.depth": 2}})], {}, "once"),
    "the same config twice": (
        [factor("f", {"plain": {"model.kernel": 3}, "also": {"model.depth": 1}})],
        {},
        "arms 'plain' and 'also' are the same config",
    ),
    "the same number in other words": (
        [Factor("f", {"1": {"optim.learning_rate": 1}, "1.0": {"optim.learning_rate": 1.0}})],
        {},
        "arms '1' and '1.0' are the same config",
    ),
    "too many cells": ([KERNEL, OPTIM], dict(seeds=10, max_cells=59), "6 arms × 10 seeds are 60 cells: expected at"),
    "no factors": ([], {}, "factors is"),
    "no seeds": ([KERNEL], dict(seeds=0), "seeds is 0: expected 1 or more"),
    "an unknown design": ([KERNEL], dict(design="latin"), "design is 'latin': expected one of grid"),
    "random without a size": ([KERNEL], dict(design="random"), "sample is None: expected the number of arms"),
}  # fmt: skip


@pytest.mark.parametrize(("factors", "settings", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_design_is_refused(factors, settings, message):
    with pytest.raises(ValueError, match=message):
        expand(RunConfig(), factors, **settings)


WITHOUT_EFFECT = {
    "momentum of plain descent": (
        {"optim.name": "sgd"}, "optim.momentum=0,0.9", "optim.momentum has no effect where optim.name is 'sgd'"
    ),
    "steps of a cosine": (
        {}, "optim.step_factor=0.1,0.5", "optim.step_factor has no effect where optim.schedule is 'cosine'"
    ),
    "how no decay is applied": (
        {}, "optim.decoupled=false,true", r"optim.decoupled has no effect where optim.weight_decay is 0\.0"
    ),
    "decay that is decoupled by definition": (
        {"optim.name": "adamw", "optim.weight_decay": 0.1},
        "optim.decoupled=false,true",
        "optim.decoupled has no effect where optim.name is 'adamw'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("base", "varied", "message"), WITHOUT_EFFECT.values(), ids=WITHOUT_EFFECT)
def test_a_setting_without_effect_is_refused(base, varied, message):
    """Its arms would be one run, and the answer "no difference"."""
    with pytest.raises(ValueError, match=rf"^arms '.*' and '.*' are the same run: {message}$"):
        expand(apply(RunConfig(), base), [parse_factor(varied)])


SAME_NETWORK = {
    "the width of a head that is not there": ({"model.head": "global_avg"}, "model.head_width=64,128", "head_width"),
    "the kernel of the only layer": ({"model.widths": (4,)}, "model.first_kernel=none,3", "first_kernel"),
    "a scale of zeros": ({"model.initializer": "zeros"}, "model.initializer_scale=0.1,0.2", "initializer_scale"),
    "the usual scale": ({"model.initializer": "he_normal"}, "model.initializer_scale=none,1", "initializer_scale"),
    "the usual widths": ({"model.name": "mlp"}, "model.widths=none,256", "widths"),
}


@pytest.mark.parametrize(("base", "varied", "setting"), SAME_NETWORK.values(), ids=SAME_NETWORK)
def test_arms_that_are_the_same_network_are_refused(base, varied, setting):
    with pytest.raises(ValueError, match=rf"^arms '.*' and '.*' are the same network: model\.{setting} changes"):
        expand(apply(RunConfig(), base), [parse_factor(varied)])


@pytest.mark.parametrize(
    ("base", "varied", "message"),
    [
        ({"model.name": "mlp"}, ["model.kernel=3,5"], r"unknown setting 'model\.kernel' of mlp: expected one of"),
        ({}, ["model.name=cnn,mlp", "model.kernel=3,5"], r"unknown setting 'model\.kernel' of mlp: expected one of"),
        ({}, ["model.width=0.5,1"], r"unknown setting 'model\.width' of cnn: did you mean widths or head_width"),
        ({}, ["model.pool=max,avg", "model.name=lenet5,cnn"], None),
    ],
    ids=["no arm's", "not every arm's", "another model's", "every arm's"],
)
def test_a_setting_that_an_arms_model_has_not_is_refused(base, varied, message):
    factors = [parse_factor(text) for text in varied]
    if message is None:
        assert len(expand(apply(RunConfig(), base), factors)) == 4
        return
    with pytest.raises(ValueError, match=message):
        expand(apply(RunConfig(), base), factors)


@pytest.mark.parametrize(
    ("base", "varied"),
    [
        ({"optim.name": "adam"}, "optim.momentum=0,0.9"),
        ({"optim.schedule": "step"}, "optim.step_factor=0.1,0.5"),
        ({"optim.weight_decay": 0.1}, "optim.decoupled=false,true"),
        ({"model.name": "mlp"}, "model.depth=1,2"),
        ({"model.kernel": 5}, "model.name=linear,mlp"),  # unused by both, and not what is varied
    ],
)
def test_a_setting_with_effect_is_not_refused(base, varied):
    assert len(expand(apply(RunConfig(), base), [parse_factor(varied)])) == 2


def test_label_smoothing_is_refused_beside_a_loss_without_it():
    factors = [parse_factor("train.loss=softmax,crammer_singer"), parse_factor("train.label_smoothing=0,0.1")]
    with pytest.raises(ValueError, match=r"train\.label_smoothing is 0\.1: expected 0 where train\.loss is 'crammer_"):
        expand(RunConfig(), factors)


def test_a_grid_as_large_as_allowed_is_allowed():
    assert len(expand(RunConfig(), [KERNEL, OPTIM], seeds=10, max_cells=60)) == 6


def test_a_huge_grid_is_refused_before_it_is_made():
    with pytest.raises(ValueError, match="1000000000000 arms"):
        expand(RunConfig(), HUGE, max_cells=1000)
