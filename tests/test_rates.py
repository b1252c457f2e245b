"""Rates of single parameters: how they are written, and which of them a parameter has."""

import pytest

from convnet.config import OptimConfig
from convnet.rates import Rate, first_fit, parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logits/*=0.01", Rate("logits/*", 0.01, 1.0)),
        ("*/bias=1e-3@0.25", Rate("*/bias", 0.001, 0.25)),
        ("*=0", Rate("*", 0.0, 1.0)),
        ("a=b=2@1", Rate("a=b", 2.0, 1.0)),  # the last = is the one that counts
    ],
)
def test_a_rate_is_a_pattern_a_peak_and_where_it_ends(text, expected):
    assert parsed(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "logits", "=0.1", "logits=", "logits=fast", "logits=-0.1", "logits=nan", "logits=inf", "logits=0.1@", "a=@0.5",
     "logits=0.1@0", "logits=0.1@1.5", "logits=0.1@-1", "logits=0.1@nan", "logits=0.1@0.5@0.5", "logits=0.1@half"],
)  # fmt: skip
def test_what_is_no_rate_is_refused_when_the_config_is_made(text):
    for make in (parsed, lambda text: OptimConfig(rates=("*=0.1", text))):
        with pytest.raises(ValueError, match=r"expected PATTERN=RATE or PATTERN=RATE@FRACTION, such as") as refused:
            make(text)
        assert str(refused.value).startswith(f"optim.rates is {text!r}: ")


NAMES = ("conv1/bias", "conv1/kernel", "conv12/kernel", "logits/kernel")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), [None, None, None, None]),
        (("*",), [0, 0, 0, 0]),
        (("conv1/*",), [0, 0, None, None]),
        (("conv1*", "*/kernel"), [0, 0, 0, 1]),
        (("*/kernel", "conv1*"), [1, 0, 0, 0]),
        (("conv?/bias", "[cl]o*"), [0, 1, 1, 1]),
        (("conv1/kernel",), [None, 0, None, None]),
    ],
)
def test_the_first_pattern_that_fits_a_name_counts(patterns, expected):
    assert first_fit([Rate(pattern, 0.1) for pattern in patterns], NAMES) == expected


@pytest.mark.parametrize("pattern", ["conv2/*", "kernel", "Conv1/bias", "conv1/"])
def test_a_pattern_that_fits_no_name_is_refused(pattern):
    """It would be a misspelt one; case counts on every system."""
    with pytest.raises(ValueError, match=r": expected a pattern that fits one of conv1/bias, conv1/kernel") as refused:
        first_fit([Rate("*", 0.1), Rate(pattern, 0.1)], NAMES)
    assert str(refused.value).startswith(f"optim.rates is {pattern!r}: ")
