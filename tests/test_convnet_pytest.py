"""The plugin of pytest: at which level gradients are audited, told by a mark, an option or a setting."""

import subprocess
import sys

import pytest

import convnet_pytest
from convnet.gradcheck.levels import LEVELS

pytest_plugins = ["pytester"]

SUITE = """
import jax.numpy as jnp
import numpy as np
import pytest
from convnet.gradcheck import assert_gradients

def level(**options):
    return assert_gradients(jnp.sin, (np.array([0.5]),), stages=["differences"], **options).level

def test_unmarked():
    assert level() == USUAL

@pytest.mark.gradcheck
def test_marked_without_a_level():
    assert level() == USUAL

@pytest.mark.gradcheck(level="exhaustive")
def test_marked():
    assert level() == "exhaustive"

@pytest.mark.gradcheck(level="exhaustive")
def test_with_a_level_of_its_own():
    assert level(level="quick") == "quick"

@pytest.mark.gradcheck(level="quick")
class TestClass:
    def test_inherited(self):
        assert level() == "quick"

    @pytest.mark.gradcheck(level="standard")
    def test_nearest(self):
        assert level() == "standard"

    @pytest.mark.gradcheck
    def test_nearest_that_says_one(self):
        assert level() == "quick"
"""


@pytest.fixture
def run(pytester):
    """`run(source, *options, ini=…)`: the result of a suite with one file."""

    def run(source, *options, ini=""):
        pytester.makepyfile(source)
        pytester.makeini(f"[pytest]\n{ini}")
        return pytester.runpytest_inprocess("-p", "convnet_pytest", "--strict-markers", *options)

    return run


@pytest.mark.parametrize(
    ("options", "ini", "usual"),
    [
        ((), "", "standard"),
        ((), "gradcheck_level = exhaustive", "exhaustive"),
        (("--gradcheck-level", "quick"), "", "quick"),
        (("--gradcheck-level", "quick"), "gradcheck_level = exhaustive", "quick"),
    ],
    ids=["nothing", "setting", "option", "both"],
)
def test_level(options, ini, usual, run):
    before = convnet_pytest.CURRENT.level
    run(f"USUAL = {usual!r}\n{SUITE}", *options, ini=ini).assert_outcomes(passed=7)
    assert convnet_pytest.CURRENT.level == before


def test_marked_tests_can_be_selected(run):
    source = "import pytest\ndef test_a(): pass\n@pytest.mark.gradcheck(level='quick')\ndef test_b(): pass\n"
    run(source, "-m", "gradcheck").assert_outcomes(passed=1, deselected=1)
    run(source, "-m", "not gradcheck").assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("level='fast'", "*marked gradcheck(level='fast'): expected level='quick' or level='standard'*"),
        ("'quick'", "*marked gradcheck('quick'): expected level='quick'*"),
        ("levle='quick'", "*marked gradcheck(levle='quick'): expected level='quick'*"),
    ],
)
def test_a_mark_that_says_nothing_is_refused(mark, said, run):
    result = run(f"import pytest\n@pytest.mark.gradcheck({mark})\ndef test_a(): pass\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *test_a is {said}"])


def test_an_unknown_level_is_refused(run):
    assert run("", ini="gradcheck_level = fast").ret == pytest.ExitCode.USAGE_ERROR
    result = run("", "--gradcheck-level", "fast")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*invalid choice: 'fast'*"])


def test_the_levels_are_those_of_the_audit():
    assert tuple(LEVELS) == convnet_pytest.LEVELS


def test_what_belongs_to_a_failure_lies_where_pytest_keeps_files(run, pytester):
    pytester.makepyfile(
        wrong="""
        import jax
        cube = jax.custom_jvp(lambda x: x**3)
        cube.defjvp(lambda x, v: (x[0]**3, 2 * x[0]**2 * v[0]))
    """
    )
    pytester.syspathinsert()
    result = run("""
        import numpy as np
        from convnet.gradcheck import assert_gradients
        from wrong import cube
        def test_cube():
            assert_gradients(cube, (np.linspace(-1, 1, 50),), stages=["differences"])
    """, "--basetemp", str(pytester.path / "kept"), "--gradcheck-level", "quick")  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: <lambda>: FAILED at level quick, seed 0; *failed: differences*",
            "E *# or: python -m pytest *.py::test_cube --gradcheck-level quick",
            "E *from wrong import cube",
        ]
    )
    result.stdout.no_fnmatch_line("*convnet/gradcheck/assertion.py:*")  # the test is shown, not the referee
    script = pytester.path / "kept" / "gradcheck0" / "again.py"
    assert (script.parent / "arguments.npz").exists()
    done = subprocess.run([sys.executable, str(script)], cwd="/", capture_output=True, text=True)
    assert done.stdout.startswith("<lambda>: FAILED at level quick, seed 0;"), done.stderr


def test_pytest_starts_without_jax(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # of others, which do as they like
    pytester.makepyfile("import sys\ndef test_a(): assert not {'jax', 'numpy', 'convnet'} & set(sys.modules)\n")
    pytester.runpytest_subprocess("-p", "convnet_pytest").assert_outcomes(passed=1)
