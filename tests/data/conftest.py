"""What every test of convnet.data shares: strict JAX, a cache of its own, and the real datasets decoded once."""

import os
from pathlib import Path

import jax
import pytest

from convnet import data


@pytest.fixture(autouse=True)
def _strict_jax():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVNET_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def homeless(monkeypatch):
    """A user whom neither HOME nor the system's list of users gives a home directory."""
    pwd = pytest.importorskip("pwd", reason="a user always has one here")

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "CONVNET_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("decoded")


def _real(name, session_cache):
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"TFDS_DATA_DIR does not hold {name}")
    pytest.importorskip("tensorflow_datasets", reason="tensorflow_datasets is not installed")
    pytest.importorskip("array_record", reason="array_record is not installed")
    return data.load(name, cache_dir=session_cache)


@pytest.fixture(scope="session")
def mnist(session_cache):
    return _real("mnist", session_cache)


@pytest.fixture(scope="session")
def cifar10(session_cache):
    return _real("cifar10", session_cache)
