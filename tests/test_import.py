"""`import convnet` is fast because it loads little. What loads is counted, not how long it takes."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

HEAVY = (
    "flax", "tensorflow_datasets", "tensorflow", "orbax", "matplotlib", "sklearn", "optax", "tyro", "jinja2", "grain",
)  # fmt: skip


def loaded(module: str) -> set[str]:
    """The heavy packages that a new process has loaded after importing `module`."""
    code = f"import sys, {module}; print('loaded', *(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        # Layers that have no business with networks, drawing or data formats.
        ("convnet, convnet.config, convnet.initializers, convnet.data, convnet.record", set()),
        ("convnet.run", {"flax", "optax", "orbax"}),  # flax itself loads orbax
    ],
    ids=["low layers", "run"],
)
def test_an_import_loads_nothing_heavy_that_it_does_not_use(module, allowed):
    assert loaded(module) <= allowed


def test_the_probe_sees_what_is_loaded():
    assert loaded("jinja2, tyro") >= {"jinja2", "tyro"}


def test_every_package_is_in_the_wheel():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folders = [path.parent.relative_to(ROOT) for path in (ROOT / "convnet").rglob("__init__.py")]
    packages = {".".join(folder.parts) for folder in folders} | {"convnet.experiments"}
    assert set(setup["options"]["packages"].split()) == packages
