"""What decides bits is found by its imports."""

from functools import partial
from pathlib import Path

import convnet
from convnet.code import STEP, code_hash, import_closure
from convnet.identity import environment

FOLDER = Path(convnet.__file__).resolve().parent


def test_the_code_hash_sees_what_the_step_imports_and_nothing_else(tmp_path):
    (tmp_path / "task.py").write_text("from convnet import ops\nimport json\n")
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "__init__.py").write_text("from convnet.ops.conv import conv2d\n")
    (tmp_path / "ops" / "conv.py").write_text("def conv2d(): ...\n")
    (tmp_path / "figures.py").write_text("from convnet import task\n")
    hashed = partial(code_hash, tmp_path, ["convnet.task"])
    first = hashed()
    for name in ("figures.py", "json.py", "README.md"):
        (tmp_path / name).write_text("x = 2\n")
        assert hashed() == first
    seen = [first]
    for change in (
        lambda: (tmp_path / "ops" / "conv.py").write_text("def conv2d(): return 1\n"),
        lambda: (tmp_path / "task.py").write_text("from convnet import figures, ops\n"),
        lambda: (tmp_path / "figures.py").write_text("import convnet.json\n"),
    ):
        change()
        seen.append(hashed())
    assert len(set(seen)) == 4


def test_the_step_imports_ops_models_and_optimisers_and_no_figures():
    names = {path.relative_to(FOLDER).as_posix() for path in import_closure(FOLDER, STEP)}
    assert {
        "config.py",
        "ops/correlation.py",
        "models/network.py",
        "architectures/resnet.py",
        "optim.py",
        "data/augment.py",
        "train/step.py",
    } <= names
    assert not [name for name in names if name.split("/")[0] in ("report", "gradcheck", "experiments", "analysis")]
    assert environment()["code"] == code_hash(FOLDER)
