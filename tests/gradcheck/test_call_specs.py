"""Calls in words, as a command line gives them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.arguments import StaticFloat, is_static
from convnet.gradcheck.call_specs import Argument, function, imported, setting


def drawn(text, seed=0):
    return Argument(text).draw(np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("text", "dtype", "shape"),
    [
        ("f32[3,5]", "float32", (3, 5)),
        ("f64[ 3 , 5 ]", "float64", (3, 5)),
        ("f16[2]", "float16", (2,)),
        ("bf16[2]", "bfloat16", (2,)),
        ("f32[]", "float32", ()),
        ("f32[0,2]", "float32", (0, 2)),
        ("i32[4]", "int32", (4,)),
        ("i64[]", "int64", ()),
        ("u8[4] in 0..255", "uint8", (4,)),
        ("bool[]", "bool", ()),
        ("bool[2,3]", "bool", (2, 3)),
    ],
)
def test_arrays(text, dtype, shape):
    array = drawn(text)
    assert (str(array.dtype), array.shape) == (dtype, shape)
    assert not is_static(array)


def test_floating_point_numbers_are_normal_unless_a_range_is_given():
    normal, uniform = drawn("f64[40000]"), drawn("f64[40000] in -0.5..1e1")
    np.testing.assert_allclose((normal.mean(), normal.std()), (0, 1), atol=0.02)  # four standard errors
    np.testing.assert_allclose((uniform.min(), uniform.max(), uniform.mean()), (-0.5, 10, 4.75), atol=0.07)
    assert uniform.min() >= -0.5
    assert uniform.max() <= 10


@pytest.mark.parametrize(
    ("text", "values"),
    [("i32[999]", range(10)), ("i32[999] in -1..1", (-1, 0, 1)), ("u8[9999] in 0..255", range(256)),
     ("i64[9] in 7..7", (7,)), ("bool[99]", (False, True))],
)  # fmt: skip
def test_both_ends_of_a_range_of_integers_are_drawn(text, values):
    assert set(np.unique(drawn(text))) == set(values)


def test_the_seed_decides_what_is_drawn():
    assert (drawn("f32[9]", 1) == drawn("f32[9]", 1)).all()
    assert not (drawn("f32[9]", 1) == drawn("f32[9]", 2)).any()


def test_keys():
    assert drawn("key[]").shape == ()
    assert drawn("key[2,3]").shape == (2, 3)
    assert jnp.issubdtype(drawn("key[]").dtype, jax.dtypes.prng_key)
    assert (jax.random.key_data(drawn("key[]", 1)) != jax.random.key_data(drawn("key[]", 2))).any()


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-2.5", -2.5), ("'same'", "same"), ("'f32[3]'", "f32[3]"), ('"a:b"', "a:b"), ("True", True),
     ("None", None), ("(2, 3)", (2, 3)), ("[]", [])],
)  # fmt: skip
def test_values_stay_as_they_are(text, value):
    assert drawn(text) == value
    assert all(map(is_static, jax.tree.leaves(drawn(text))))
    assert isinstance(drawn("2.5"), StaticFloat)


def test_containers():
    params, rest = drawn("({'w': f32[2,3], 'n': 2, 'b': f32[3] in 0..1}, [i32[2] in 3..4, None, 'same'])")
    assert (params["w"].shape, params["n"], params["b"].shape) == ((2, 3), 2, (3,))
    assert (params["b"] >= 0).all()
    assert set(rest[0]) <= {3, 4}
    assert rest[1:] == [None, "same"]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module called ours, in a directory that Python looks into."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source):
        (tmp_path / "ours.py").write_text(source)

    yield write
    import sys

    sys.modules.pop("ours", None)


def test_what_a_module_holds(module):
    module("import numpy as np\nw = np.arange(3.0)\ndef params(): return {'w': 2 * w}\nclass A:\n    f = abs\n")
    assert list(drawn("ours:w")) == [0, 1, 2]
    assert list(drawn("(ours:params(), 1)")[0]["w"]) == [0, 2, 4]
    assert function("ours:A.f", "function") is abs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f33[3]", r"no dtype is called 'f33'; did you mean f32\?"),
        ("quaternion[3]", r"no dtype is called 'quaternion'; expected one of f16, bf16"),
        ("f32[a]", r"expected sizes between brackets, as in f32\[3,5\] or f32\[\]"),
        ("f32[-1]", r"expected sizes between brackets"),
        ("f32[3", r"expected an array such as f32\[3,5\], a value of Python"),
        ("f32", r"expected an array such as"),
        ("same", r"expected an array such as"),
        ("f32[3] f32[3]", r"expected an array such as"),
        ("f32[3] in 0-9", r"expected a range as in 0\.\.9"),
        ("f32[3] in 0..", r"expected a range as in 0\.\.9"),
        ("f32[3] in 2..1", r"expected a range from a number to a larger one"),
        ("bool[3] in 0..1", r"expected no range for bool"),
        ("i32[3] in 0..1.5", r"expected a range of integers from -2147483648 to 2147483647"),
        ("u8[3] in 0..256", r"expected a range of integers from 0 to 255"),
        ("2j", r"expected a real number, a string, True, False or None"),
        ("{1, 2}", r"expected a real number"),
        ("__import__('os')", r"expected an array such as"),
        ("{**{}}", r"expected an array such as"),
    ],
)
def test_what_is_no_argument_is_refused(text, said):
    with pytest.raises(ValueError, match=rf"^args holds .*: {said}"):
        Argument(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("axis=-1", ("axis", -1)), ("padding=SAME", ("padding", "SAME")), ("padding='SAME'", ("padding", "SAME")),
     ("window=(2, 3)", ("window", (2, 3))), ("gamma=2.0", ("gamma", 2.0)), ("flag=True", ("flag", True)),
     ("a=b-c.d", ("a", "b-c.d"))],
)  # fmt: skip
def test_settings(text, expected):
    assert setting(text) == expected


@pytest.mark.parametrize("text", ["axis", "=3", "a b=3", "x=f(3)", "x="])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(ValueError, match=r"^set is .*: expected "):
        setting(text)


def test_what_cannot_be_imported_is_refused(module):
    module("import nowhere_to_be_found\n")
    for path, said in {
        "ours": "expected package.module:name",
        "ours:": "expected package.module:name",
        "ours:f()": "expected package.module:name",
        "ours:f": r"ours cannot be imported \(ModuleNotFoundError: No module named 'nowhere_to_be_found'\)",
        "nobodys.module:f": r"nobodys.module cannot be imported \(ModuleNotFoundError: No module named 'nobodys'\)",
        "jax.numpy:tahn": r"there is no 'tahn'; did you mean tan",
    }.items():
        with pytest.raises(ValueError, match=rf"^function is '.*': {said}"):
            imported(path, "function")
    with pytest.raises(ValueError, match=r"^function is 'math:pi': expected a function"):
        function("math:pi", "function")


def test_a_module_that_does_not_compile_is_refused(module):
    module("def f(:\n")
    with pytest.raises(ValueError, match=r"^function is 'ours:f': ours cannot be imported \(SyntaxError: "):
        imported("ours:f", "function")
