"""The lock holds all that setup.cfg asks for, wherever it is said to; what is installed is proven by its hash."""

import configparser
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import environment

ROOT = Path(__file__).resolve().parents[2]
STANZAS = environment.stanzas(environment.LOCK.read_text())
PINS = [Requirement(stanza.split("\\")[0]) for stanza in STANZAS]
PLACES = [(python, place) for python in environment.PYTHONS for place in environment.PLATFORMS]


def wanted():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"]]
    lists += [setup["options.extras_require"][extra] for extra in environment.EXTRAS]
    return [Requirement(line) for line in "\n".join(lists).split("\n") if line] + [
        Requirement(text) for text in environment.build_requirements()
    ]


def pinned(python, place):
    """The version of each package, as pip reads the lock under that Python there."""
    minor = ".".join(map(str, python))
    system, machine = place
    names = {"os_name": "posix", "sys_platform": system.lower(), "platform_machine": machine, "platform_system": system}
    here = names | {"python_version": minor, "python_full_version": f"{minor}.1", "implementation_name": "cpython"}
    valid = [pin for pin in PINS if pin.marker is None or pin.marker.evaluate(here)]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in valid}
    assert len(versions) == len(valid), "two versions of one package"
    return versions


@pytest.mark.parametrize(("python", "place"), PLACES, ids=str)
def test_the_lock_holds_all_that_setup_cfg_asks_for(python, place):
    versions = pinned(python, place)
    assert len(wanted()) > 15
    for requirement in wanted():
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, "run `make lock`"


def test_every_python_that_setup_cfg_allows_has_a_jax_of_its_own():
    assert pinned((3, 11), ("Linux", "x86_64"))["jax"] < "0.11"
    assert pinned((3, 13), ("Linux", "x86_64"))["jax"] > "0.11"


def test_every_file_has_hashes_and_no_place_it_came_from():
    text = environment.LOCK.read_text()
    lines = text.splitlines(keepends=True)
    assert "".join(STANZAS) == "".join(line for line in lines if not line.startswith("#"))
    for stanza in STANZAS:
        assert re.fullmatch(r"[^\n]+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", stanza)
    assert not re.search(r"://|file:|index|find-links|/", text)


@pytest.fixture
def pip(monkeypatch):
    """What pip would be told, and what is in the files that it would be given."""
    told = []

    def record(*arguments):
        words = [str(word) for word in arguments]
        if "--requirement" in words:
            words[-1] = Path(words[-1]).read_text()
        told.append(words)

    monkeypatch.setattr(environment, "pip", record)
    return told


def here(monkeypatch, python=(3, 12, 1), system="Linux", machine="x86_64", implementation="CPython"):
    monkeypatch.setattr(sys, "version_info", python)
    monkeypatch.setattr(environment.platform, "system", lambda: system)
    monkeypatch.setattr(environment.platform, "machine", lambda: machine)
    monkeypatch.setattr(environment.platform, "python_implementation", lambda: implementation)


def test_where_the_lock_holds_every_package_is_proven(pip, monkeypatch, capsys):
    here(monkeypatch)
    environment.install(str(environment.LOCK))
    tools, everything, ours = pip
    assert [environment.requirement_name(stanza) for stanza in environment.stanzas(tools[-1])] == ["setuptools"]
    assert everything[-1] == environment.LOCK.read_text()
    assert "--require-hashes" in tools
    assert "--require-hashes" in everything
    assert "--no-build-isolation" in everything  # else pip fetches what builds, unproven
    assert ours == ["install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (dict(python=(3, 10, 1)), "CPython"),
        (dict(system="Darwin"), "on Darwin x86_64"),
        (dict(system="Windows", machine="AMD64"), "on Windows AMD64"),
        (dict(implementation="PyPy"), "PyPy"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_elsewhere_setup_cfg_decides_and_that_is_said(place, name, pip, monkeypatch, capsys):
    here(monkeypatch, **place)
    environment.install(str(environment.LOCK))
    assert pip == [["install", "--editable", f"{ROOT}[test,tfds,stream,board,others]"]]
    said = capsys.readouterr().err
    assert re.search(f"requirements.lock is not made for .*{name}.*: installing the newest that setup.cfg allows", said)


def test_without_a_lock_setup_cfg_decides(pip, monkeypatch, capsys):
    here(monkeypatch)
    environment.install("")
    assert pip == [["install", "--editable", f"{ROOT}[test,tfds,stream,board,others]"]]
    assert capsys.readouterr().err == ""


def test_a_failure_of_pip_is_the_exit_status():
    with pytest.raises(SystemExit, match="1"):
        environment.pip("install", "--no-index", "--require-hashes", "numpy==0")
