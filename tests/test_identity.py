"""What a run is: what decides bits is seen and named, and nothing else is."""

import json
import os
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import convnet
from convnet import identity
from convnet.identity import (
    HOW,
    WHAT,
    advice,
    another_run,
    describe,
    environment,
    other_bits,
    qualified_name,
)

FOLDER = Path(convnet.__file__).resolve().parent

# --- what is the same run ---------------------------------------------------------------------------------------------

RUN = {
    "config": {"seed": 3, "optim": {"name": "adam"}},
    "data": {"name": "own", "digest": "d1"},
    "computes": {"model": "convnet.models.network.Network", "ops": "hand"},
    "replicates": 0,
    "traced": [],
    "programs": {"epoch": "p1"},
    "compiler": {"deterministic": True},
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"config": {"seed": 4, "optim": {"name": "adam"}}}, "config.seed (3 then, 4 now)"),
        ({"data": {"name": "own", "digest": "d2"}}, "data.digest ('d1' then, 'd2' now)"),
        (
            {"computes": {**RUN["computes"], "ops": {"relu": "__main__.mine"}}},
            "computes.ops ('hand' then, {'relu': '__main__.mine'} now)",
        ),
    ],
    ids=WHAT,
)
def test_what_makes_another_run_is_named(change, expected):
    assert describe(another_run(RUN, RUN | change)) == expected
    assert other_bits(RUN, RUN | change) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"programs": {"epoch": "p2"}}, "programs.epoch ('p1' then, 'p2' now)"),
        ({"compiler": {"deterministic": False}}, "compiler.deterministic (True then, False now)"),
        ({"replicates": 8}, "replicates (0 then, 8 now)"),
        ({"traced": ["optim.momentum"]}, "traced ([] then, ['optim.momentum'] now)"),
    ],
)
def test_another_program_for_the_same_run_gives_other_bits(change, expected):
    assert another_run(RUN, RUN | change) == {}
    assert describe(other_bits(RUN, RUN | change)) == expected


def test_a_manifest_without_a_fact_is_not_the_same_run():
    """One of an older version, which did not know that it matters."""
    older = {name: fact for name, fact in RUN.items() if name != "data"}
    assert describe(another_run(older, RUN)) == "data (None then, {'name': 'own', 'digest': 'd1'} now)"


def test_all_of_the_environment_but_what_cannot_matter_decides():
    idle = {"started", "command", "platform", "cpus", "backend", "git"}
    assert set(environment()) == (set(HOW) - {"programs", "compiler", "mesh", "replicates", "traced"}) | idle
    then = environment()
    assert other_bits(then, environment()) == {}
    assert other_bits({**then, **dict.fromkeys(idle)}, then) == {}
    assert set(other_bits({**then, **dict.fromkeys(HOW, "other")}, then)) == set(HOW)


SETTINGS = {
    "jax_threefry_partitionable": False,
    "jax_default_prng_impl": "rbg",
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "strict",
    "jax_disable_most_optimizations": True,
}


def test_settings_of_jax_stay_what_they_are():
    """None, numbers and words, not the texts of them: JSON gives them back as themselves."""
    settings = environment()["jax"]
    assert settings == json.loads(json.dumps(settings))
    assert (settings["jax_enable_x64"], settings["jax_default_matmul_precision"]) == (False, None)
    assert settings["jax_default_prng_impl"] == "threefry2x32"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_jax_that_changes_numbers_is_seen(name):
    then, before = environment(), jax.config.values[name]
    jax.config.update(name, SETTINGS[name])
    try:
        changed = other_bits(then, environment())
    finally:
        jax.config.update(name, before)
    assert changed == {f"jax.{name}": [before, SETTINGS[name]]}


@pytest.mark.parametrize("name", ["XLA_FLAGS", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"])
def test_a_variable_that_libraries_below_read_is_seen(name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    then = environment()
    monkeypatch.setenv(name, "1")
    assert other_bits(then, environment()) == {f"flags.{name}": [None, "1"]}


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="threads of the CPU")
def test_the_number_of_threads_is_seen_and_how_to_get_it_back_is_said(monkeypatch):
    monkeypatch.setenv("PJRT_NPROC", "2")
    then = environment()
    monkeypatch.setenv("PJRT_NPROC", "3")
    changed = other_bits(then, environment())
    assert describe(changed) + advice(changed) == "threads (2 then, 3 now); PJRT_NPROC=2 gives the threads of then"
    assert advice({"code": ["a", "b"]}) == ""


INFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: 1
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu smep syscall fma avx2 sse4_2{more} lm

processor\t: 1
cpu family\t: 99
"""


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="processors")
def test_a_processor_is_more_than_its_name(tmp_path, monkeypatch):
    """Ten years of processors are called "AMD EPYC"."""
    monkeypatch.setattr(identity, "CPUINFO", tmp_path / "cpuinfo")

    def seen(**values):
        (tmp_path / "cpuinfo").write_text(INFO.format(**values))
        return environment()

    old = seen(family=25, more="")
    assert old["device"] == "AMD EPYC"
    assert (old["processor"]["cpu family"], old["processor"]["instructions"]) == ("25", "avx2 fma sse4_2")
    assert other_bits(old, seen(family=26, more=" avx512f amx_tile")) == {
        "processor.cpu family": ["25", "26"],
        "processor.instructions": ["avx2 fma sse4_2", "amx_tile avx2 avx512f fma sse4_2"],
    }


def test_a_system_that_does_not_tell_its_processor_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "CPUINFO", tmp_path / "none")
    assert environment()["device"]


def test_names_tell_where_something_was_defined():
    class Mine:
        pass

    here = "test_names_tell_where_something_was_defined.<locals>"
    assert qualified_name(Mine).endswith(f"{here}.Mine")
    assert qualified_name(partial(environment, 1)) == "convnet.identity.environment"
    assert qualified_name(jax.jit(Mine)).endswith(f"{here}.Mine")
    assert qualified_name(environment) == "convnet.identity.environment"


# --- environment ------------------------------------------------------------------------------------------------------


def test_the_environment_is_this_one(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--some_flag=1")
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["jax"] == jax.__version__
    assert found["packages"]["numpy"] == np.__version__
    assert found["packages"]["convnet"] == convnet.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (found["backend"], found["flags"]["XLA_FLAGS"]) == (jax.default_backend(), "--some_flag=1")
    assert found["devices"] == jax.device_count()
    assert found["device"]
    assert found["cpus"] == os.cpu_count()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(identity, "PACKAGES", ("numpy", "no-such-package"))
    assert environment()["packages"] == {
        "convnet": convnet.__version__,
        "numpy": np.__version__,
        "no-such-package": None,
    }


def test_the_command_can_be_pasted(monkeypatch):
    argv = ["experiments/compare.py", "--out", "my runs", "--note", "it's"]
    monkeypatch.setattr(sys, "argv", argv)
    assert shlex.split(environment()["command"]) == argv


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, in which identity.py seems to lie."""

    def git(*args):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", tmp_path, *identity, *args], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    (tmp_path / "convnet").mkdir()
    (tmp_path / "convnet" / "identity.py").write_text("x = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    monkeypatch.setattr(identity, "__file__", str(tmp_path / "convnet" / "identity.py"))
    return tmp_path, git


def test_the_commit_and_whether_the_tree_was_changed(checkout):
    path, git = checkout
    commit = git("rev-parse", "HEAD")
    assert environment()["git"] == {"commit": commit, "dirty": False}
    (path / "convnet" / "identity.py").write_text("x = 2\n")
    assert environment()["git"] == {"commit": commit, "dirty": True}


def test_a_copy_inside_somebody_elses_repository_has_no_commit(checkout, monkeypatch):
    path, _ = checkout
    (path / "venv" / "convnet").mkdir(parents=True)
    monkeypatch.setattr(identity, "__file__", str(path / "venv" / "convnet" / "identity.py"))
    assert environment()["git"] is None


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert environment()["git"] is None


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from convnet.identity import decisive

sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(8) as pool:
    print(len({found["code"] for found in pool.map(lambda _: decisive(), range(8))}))
"""


def test_threads_may_ask_at_the_same_time():
    """As replicates do; Python 3.11 cannot parse sources in two of them."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr[-2000:]
