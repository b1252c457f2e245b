"""What an ablation asks, from a preset file or from texts. Nothing is trained."""

from dataclasses import replace

import pytest

from convnet.ablation import Arm
from convnet.ablation.grid import factor
from convnet.ablation.plan import Plan, describe, make_plan, preset_names, quickened, read_preset
from convnet.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from convnet.settings import content_hash, to_dict

SMALLEST = """
[factors]
"optim.name" = ["sgd", "adam"]
"""
FULL = """
question = "Which?"
answer = "This."
measured = "here"
design = "random"
seeds = 3
sample = 2
reference = "32"

[base]
train.epochs = 7

[factors]
"train.batch_size" = [16, 32, 64]
"""


def preset(tmp_path, text, name="own.toml"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_preset(str(tmp_path / name), tmp_path / "presets")


def test_what_a_preset_leaves_out_has_a_usual_value(tmp_path):
    factors = (factor("optim.name", ["sgd", "adam"]),)
    assert preset(tmp_path, SMALLEST) == Plan("own", RunConfig(), factors)
    usual = Plan("", RunConfig(), ())
    assert (usual.question, usual.answer, usual.measured) == ("", "", "")
    assert (usual.design, usual.seeds, usual.sample, usual.reference, usual.changed) == ("grid", 10, None, None, False)


def test_what_a_preset_says_is_taken(tmp_path):
    assert preset(tmp_path, FULL) == Plan(
        name="own",
        base=RunConfig(train=TrainConfig(epochs=7)),
        factors=(factor("train.batch_size", [16, 32, 64]),),
        question="Which?",
        answer="This.",
        measured="here",
        design="random",
        seeds=3,
        sample=2,
        reference="32",
    )


def test_a_preset_is_found_by_its_name_and_a_file_by_its_path(tmp_path):
    preset(tmp_path, SMALLEST, "b.toml")
    preset(tmp_path, FULL, "a.toml")
    assert preset_names(tmp_path) == ["a", "b"]
    assert read_preset("a", tmp_path).seeds == 3
    assert read_preset(str(tmp_path / "b.toml"), tmp_path).seeds == 10
    with pytest.raises(ValueError, match=r"^unknown preset 'c': expected one of a, b$"):
        read_preset("c", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('seeds = "3"', r"^own\.seeds is '3': expected int"),
        ("question = 3", r"^own\.question is 3: expected str"),
        ("design = 3", r"^own\.design is 3: expected str"),
        ("base = 3", r"^own\.base is 3: expected dict"),
        ("factors = 3", r"^own\.factors is 3: expected dict"),
        ('sample = "2"', r"^own\.sample is '2': expected int"),
        ("reference = 2", r"^own\.reference is 2: expected str"),
        ("name = 'x'", r"^a key of preset own is 'name': expected one of question, answer, "),
        ("[factors]\n' ' = [1]", r"^a factor of preset own is ' ': expected a name"),
        ("[base]\ntrain.epoch = 3", r"^unknown setting 'train\.epoch': did you mean train\.epochs"),
        ("[factors]\n'optim.name' = ['sgdd']", r"optim\.name is 'sgdd': did you mean sgd"),
    ],
)
def test_a_bad_preset_is_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        preset(tmp_path, text)


def test_a_plan_is_a_presets_or_one_of_texts(tmp_path):
    stored, base = preset(tmp_path, FULL), RunConfig(seed=3)
    assert make_plan(stored, (), stored.base) == stored
    assert make_plan(stored, (), base) == replace(stored, base=base, changed=True)
    texts = ("optim.name=sgd,adam", "train.batch_size=8,16")
    factors = (factor("optim.name", ["sgd", "adam"]), factor("train.batch_size", [8, 16]))
    assert make_plan(None, texts, base) == Plan("optim.name+train.batch_size", base, factors)
    for plan, given in ((stored, texts), (None, ())):
        with pytest.raises(ValueError, match=r"expected a preset, or at least one --factor, not both"):
            make_plan(plan, given, base)


def test_the_reference_comes_first_and_the_others_keep_their_order():
    plan = Plan("own", RunConfig(), (factor("train.batch_size", [8, 16, 32]),), reference="16")
    assert [arm.name for arm in plan.arms()] == ["16", "8", "32"]
    assert [arm.name for arm in replace(plan, reference=None).arms()] == ["8", "16", "32"]
    with pytest.raises(ValueError, match=r"^unknown reference 'y': expected one of 8, 16, 32"):
        replace(plan, reference="y").arms()


def test_a_plan_asks_for_its_own_sample_and_counts_its_seeds():
    plan = Plan("own", RunConfig(), (factor("train.batch_size", [8, 16, 32, 64]),), design="random", sample=2, seeds=5)
    assert len(plan.arms(max_cells=10)) == 2
    with pytest.raises(ValueError, match="2 arms × 5 seeds are 10 cells"):
        plan.arms(max_cells=9)


def test_a_quick_run_has_the_first_three_arms_that_still_differ():
    """Of arms that differ in epochs alone one is left."""
    arms = [Arm(f"{n}", {}, RunConfig(train=TrainConfig(epochs=n))) for n in (20, 30)]
    arms += [Arm(f"rate {r}", {}, RunConfig(optim=OptimConfig(learning_rate=r))) for r in (0.1, 0.2, 0.3)]
    short = quickened(arms)
    assert [arm.name for arm in short] == ["20", "rate 0.1", "rate 0.2"]
    assert [arm.config.train.epochs for arm in short] == [2, 2, 2]
    assert [arm.config.optim.learning_rate for arm in short] == [0.05, 0.1, 0.2]


def test_a_plan_as_it_is_stored():
    base = RunConfig(DataConfig("digits"), seed=0)
    plan = Plan("own", base, (factor("train.batch_size", [8, 16]),), question="Which?", seeds=4)
    stored = describe(plan, plan.arms())
    configs = [replace(base, train=TrainConfig(batch_size=n)) for n in (8, 16)]
    assert stored == {
        "study": "ablate",
        "name": "own",
        "question": "Which?",
        "changed": False,
        "design": "grid",
        "factors": {"train.batch_size": {"8": {"train.batch_size": 8}, "16": {"train.batch_size": 16}}},
        "base": to_dict(base),
        "seeds": 4,
        "arms": [
            {
                "name": label,
                "levels": {"train.batch_size": label},
                "hash": content_hash(config),
                "config": to_dict(config),
            }
            for label, config in zip(("8", "16"), configs, strict=True)
        ],
    }
