"""The import diagram holds, by the syntax trees of all modules: also of imports inside functions."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ROWS = (
    ("convnet_pytest",),  # pytest loads it at its start
    ("settings", "allocator", "code", "json_lines", "progress", "signals", "threads"),
    ("launch", "rates"),
    ("ops", "initializers"),
    ("convnet",),  # the package itself, which re-exports the ops
    ("architectures",),
    ("config",),
    ("recipes",),
    ("gradcheck", "models", "data", "optim", "identity", "hosts"),
    ("task",),
    ("train", "record"),
    ("journal",),
    ("shared_journal", "result"),
    ("run", "speed_run", "trained"),
    ("ablation", "analysis", "board", "cli"),
    ("report",),
    ("trial", "claims", "exercises"),
    ("benchmarks",),
    ("experiments", "scripts"),
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}

HOMES = {
    "flax": (
        "convnet.models",
        "benchmarks.peers.flax_linen",  # there it is what is measured against
        "convnet.gradcheck.evidence.right_functions.layers",  # and there what is audited
        "convnet.gradcheck.examples",
    ),
    "equinox": "convnet.gradcheck.examples",
    "haiku": "convnet.gradcheck.examples",
    "orbax": "convnet.train.checkpoint",
    "tensorflow_datasets": "convnet.data.tfds",
    "grain": "convnet.data.feed",
    "matplotlib": "convnet.report",
    "jinja2": "convnet.report",
    "hypothesis": "convnet.gradcheck",
    "cloudpickle": "convnet.gradcheck.reproduction",
    "mpmath": "convnet.board",
    "pebble": "convnet.board",
}
OPS_MAY_USE = {"jax", "numpy"} | sys.stdlib_module_names
NOBODYS_HOME = {"utils", "util", "helpers", "helper", "misc", "common"}


def modules() -> dict[str, Path]:
    """Every module of the project by its name; the experiments are installed as convnet.experiments."""
    found = {}
    for folder, prefix in (("convnet", ()), ("experiments", ("convnet",)), ("benchmarks", ()), ("scripts", ())):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = [*prefix, *path.relative_to(ROOT).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found | {path.stem: path for path in ROOT.glob("*.py")}


def imports(source: str, module: str, known: set[str], *, package: bool = False) -> Iterator[tuple[str, int]]:
    """(imported module, line): of `from a import b` it is a.b where that is a module, else a."""
    home = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((canonical(alias.name), node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + 1] if node.level else []
            base = canonical(".".join([*above, *([node.module] if node.module else [])]))
            for alias in node.names:
                full = canonical(f"{base}.{alias.name}")
                yield (full if full in known else base), node.lineno


def canonical(module: str) -> str:
    return f"convnet.{module}" if module.split(".")[0] == "experiments" else module


def belongs_to(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


def row_name(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "convnet" and len(parts) > 1 else parts[0]


def violations(source: str, module: str, known: set[str], *, package: bool = False) -> list[str]:
    """What is wrong with one module."""
    wrong, own = [], row_name(module)
    if own not in RANK:
        wrong.append(f"{module} belongs to no row of the diagram")
    if NOBODYS_HOME & set(module.split(".")):
        wrong.append(f"{module} has a name that says nothing")
    for target, line in imports(source, module, known, package=package):
        where, top = f"{module}:{line} imports {target}", target.split(".")[0]
        homes = HOMES.get(top, module)
        homes = (homes,) if isinstance(homes, str) else homes
        if not any(belongs_to(module, home) for home in homes):
            wrong.append(f"{where}: only {' and '.join(homes)} may")
        if own == "ops" and not (top in OPS_MAY_USE or belongs_to(target, "convnet.ops")):
            wrong.append(f"{where}: ops know JAX, NumPy and the standard library only")
        if top in ("convnet", "benchmarks", "scripts") and row_name(target) != own:
            other = row_name(target)
            if RANK.get(other, len(ROWS)) >= RANK.get(own, -1):
                wrong.append(f"{where}: {own} may not know {other}")
    return wrong


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle, or nothing."""
    done, path = set(), []

    def visit(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for target in sorted(graph.get(module, ())):
            if found := visit(target):
                return found
        path.pop()
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module))), [])


# --- the project ------------------------------------------------------------------------------------------------------

MODULES = modules()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down_the_diagram(module):
    path = MODULES[module]
    assert violations(path.read_text(), module, set(MODULES), package=path.name == "__init__.py") == []


def test_no_circle():
    graph = {
        module: {target for target, _ in imports(path.read_text(), module, set(MODULES),
                                                 package=path.name == "__init__.py") if target in MODULES}
        for module, path in MODULES.items()
    }  # fmt: skip
    assert circle(graph) == []
    assert "convnet.config" in graph["convnet.run"]  # the graph is not empty by mistake


def test_the_whole_project_is_looked_at():
    assert {"convnet", "convnet.config", "convnet.ops.conv", "convnet.models.network", "convnet.run"} <= set(MODULES)
    assert any(module.startswith("convnet.experiments.") for module in MODULES)


# --- the checker itself -----------------------------------------------------------------------------------------------

KNOWN = {
    "convnet", "convnet.config", "convnet.ops", "convnet.ops.conv", "convnet.models", "convnet.models.network",
    "convnet.data", "convnet.data.tfds", "convnet.train", "convnet.run", "convnet.report", "convnet.ablation",
    "convnet.experiments", "convnet.experiments.compare", "convnet.initializers", "convnet.record", "scripts.bench",
}  # fmt: skip

PLANTED = {
    "upwards": ("convnet.settings", "from convnet.ops import HAND", "settings may not know ops"),
    "downwards, from ops": ("convnet.ops.conv", "from convnet.settings import require", "ops know JAX, NumPy"),
    "far upwards": ("convnet.models.network", "from convnet.run import Trainer", "models may not know run"),
    "sideways": ("convnet.models.network", "from convnet.data import Dataset", "models may not know data"),
    "sideways in the first row": ("convnet.initializers", "import convnet.ops", "initializers may not know ops"),
    "sideways in the last row": ("scripts.bench", "import experiments.compare", "scripts may not know experiments"),
    "by way of the root": ("convnet.models.network", "from convnet import data", "models may not know data"),
    "ops by way of the root": ("convnet.ops.conv", "from convnet import HAND", "ops may not know convnet"),
    "relative": ("convnet.models.network", "from ..data import Dataset", "models may not know data"),
    "relative, a module": ("convnet.models.network", "from .. import run", "models may not know run"),
    "in a function": ("convnet.config", "def f():\n    import convnet.run", "config may not know run"),
    "for types only": ("convnet.train.x", "if TYPE_CHECKING:\n    from convnet.run import Trainer", "may not know run"),
    "the root from below": ("convnet.settings", "import convnet", "settings may not know convnet"),
    "an experiment": ("convnet.run", "from experiments.compare import main", "run may not know experiments"),
    "installed": ("convnet.run", "from convnet.experiments import compare", "run may not know experiments"),
    "benchmarks": ("convnet.run", "from benchmarks import cases", "run may not know benchmarks"),
    "a script from a benchmark": ("benchmarks.cases", "import scripts.bench", "benchmarks may not know scripts"),
    "flax in another peer": ("benchmarks.peers.torch_modules", "import flax", "and benchmarks.peers.flax_linen and"),
    "a script": ("convnet.run", "from scripts import bench", "run may not know scripts"),
    "flax": ("convnet.train.state", "from flax import linen", "only convnet.models and"),
    "orbax": ("convnet.train.loop", "import orbax.checkpoint as ocp", "only convnet.train.checkpoint may"),
    "tfds": ("convnet.data.digits", "import tensorflow_datasets as tfds", "only convnet.data.tfds may"),
    "grain": ("convnet.train.loop", "def f():\n    import grain", "only convnet.data.feed may"),
    "matplotlib": ("convnet.analysis.errors", "import matplotlib.pyplot as plt", "only convnet.report may"),
    "matplotlib in a claim": ("convnet.experiments.claims.x", "import matplotlib", "only convnet.report may"),
    "jinja2 in an experiment": ("convnet.experiments.compare", "import jinja2", "only convnet.report may"),
    "hypothesis": ("convnet.train.loop", "from hypothesis import find", "only convnet.gradcheck may"),
    "a name like a home's": ("convnet.models_too", "import flax", "only convnet.models and"),
    "equinox": ("convnet.gradcheck.audit", "import equinox as eqx", "only convnet.gradcheck.examples may"),
    "haiku": ("convnet.models.network", "import haiku as hk", "only convnet.gradcheck.examples may"),
    "the plugin of pytest": ("convnet_pytest", "import convnet", "convnet_pytest may not know convnet"),
    "optax in ops": ("convnet.ops.conv", "import optax", "ops know JAX, NumPy"),
    "scipy in ops": ("convnet.ops.conv", "def f():\n    from scipy import signal", "ops know JAX, NumPy"),
    "utils": ("convnet.data.utils", "", "says nothing"),
    "common": ("convnet.experiments.common", "", "says nothing"),
    "an unknown package": ("convnet.plots.bars", "", "belongs to no row"),
    "use of an unknown package": ("convnet.run", "import convnet.plots", "run may not know plots"),
}


@pytest.mark.parametrize(("module", "source", "message"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_found(module, source, message):
    found = violations(source, module, KNOWN)
    assert any(message in violation for violation in found), found


ALLOWED = {
    "itself": ("convnet.models.network", "from convnet.models.layers import Model\nfrom . import layers"),
    "downwards": ("convnet.models.network", "from convnet.ops import HAND\nfrom convnet import config, initializers"),
    "the root": ("convnet.record", "from convnet import __version__"),
    "everything from an experiment": ("convnet.experiments.compare", "from convnet import report, run, data, HAND"),
    "an experiment's neighbour": ("convnet.experiments.compare", "from experiments.recipes import RECIPES"),
    "libraries": ("convnet.ops.conv", "import functools, numpy as np\nfrom jax.interpreters import ad"),
    "flax at home": ("convnet.models.network", "from flax import linen as nn"),
    "orbax at home": ("convnet.train.checkpoint", "import orbax.checkpoint"),
    "tfds at home": ("convnet.data.tfds", "def f():\n    import tensorflow_datasets"),
    "drawing at home": ("convnet.report.figures", "import matplotlib, jinja2"),
    "flax among what is audited": ("convnet.gradcheck.evidence.right_functions.layers", "import flax.linen"),
    "modules among the examples": ("convnet.gradcheck.examples.x", "import equinox, haiku\nfrom flax import nnx"),
    "flax among its rivals": ("benchmarks.peers.flax_linen", "from flax import linen"),
    "a benchmark from a script": ("scripts.bench", "from benchmarks.cases import LAYERS"),
    "a mention": ("convnet.config", "'''import convnet.run'''"),
}


@pytest.mark.parametrize(("module", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_is_let_pass(module, source):
    assert violations(source, module, KNOWN) == []


def test_the_root_package_may_import_the_ops_and_no_more():
    assert violations("from convnet.ops import HAND\nfrom .ops import AUTO", "convnet", KNOWN, package=True) == []
    assert violations("from convnet import models", "convnet", KNOWN, package=True) != []


def test_a_submodule_that_imports_its_package_closes_a_circle():
    known = {"convnet.ops", "convnet.ops.conv"}
    package = {t for t, _ in imports("from convnet.ops.conv import conv2d", "convnet.ops", known, package=True)}
    module = {t for t, _ in imports("from convnet.ops import HAND", "convnet.ops.conv", known)}
    assert circle({"convnet.ops": package, "convnet.ops.conv": module})
    assert circle({"convnet.ops": package, "convnet.ops.conv": {"convnet.ops.pool"}}) == []


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, ["a", "b", "c", "a"]),
        ({"a": {"a"}}, ["a", "a"]),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
        ({"z": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
    ],
    ids=["three", "one", "a diamond is none", "beside the way"],
)
def test_circles(graph, expected):
    assert circle(graph) == expected
