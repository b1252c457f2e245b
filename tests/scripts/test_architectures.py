"""The published networks: what is counted, when that ends with an error, and that the stored page is complete."""

import re
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest

from convnet.architectures import MLP, MODELS, shapes
from scripts import architectures
from scripts.architectures import PUBLISHED, Architectures, Published, Step, survey

PAGE = architectures.PAGE.read_text(encoding="utf-8")
TORCHVISION = {"vgg11": 7.609, "vgg16": 15.47, "resnet18": 1.814, "resnet34": 3.664}
"""Thousand millions of multiply-adds, as torchvision's weights have them."""


def test_every_published_family_is_there():
    """But for airbench, of which nobody says more than "about 1.97 million"."""
    others = ("linear", "mlp", "cnn", "airbench")
    assert {entry.architecture.name for entry in PUBLISHED.values()} == set(MODELS) - set(others)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_counted_is_what_was_published(name):
    assert PUBLISHED[name].agrees
    assert PUBLISHED[name].source.endswith(".")
    assert (PUBLISHED[name].parameters is None) == (name in ("zfnet", "resnet8"))


@pytest.mark.parametrize(("name", "billions"), TORCHVISION.items())
def test_multiply_adds_are_torchvisions(name, billions):
    assert round(PUBLISHED[name].multiply_adds / 1e9, 3) == billions


def test_a_dense_network_counted_by_hand():
    entry = Published(MLP(widths=(3,)), (2, 2, 1), 5, 3 * 4 + 3 + 5 * 3 + 5, "")
    assert (entry.counted, entry.multiply_adds, entry.agrees) == (35, 12 + 15, True)
    assert not replace(entry, parameters=34).agrees
    assert replace(entry, parameters=None).agrees


@pytest.mark.parametrize(
    ("parameters", "code", "shown"), [(61_706, 0, "61,706"), (61_707, 1, "61,707 ✗"), (None, 0, "none")]
)
def test_another_number_ends_with_an_error(parameters, code, shown, monkeypatch, capsys):
    monkeypatch.setitem(PUBLISHED, "lenet5", replace(PUBLISHED["lenet5"], parameters=parameters))
    assert survey(Architectures(only=("lenet5",), steps=False)) == code
    row = capsys.readouterr().out.splitlines()[2]
    assert row == f"| lenet5 | 32×32×1 | 10 | 61,706 | {shown} | 416,520 |"


def test_steps_stand_beside_the_counts():
    text = architectures.table({"lenet5": PUBLISHED["lenet5"]}, {"lenet5": Step(0.01234, 2.34, 300 * 2**20, 0.5)})
    assert text.splitlines()[0].endswith("| multiply-adds | step s | others' cores | compile s | memory MiB |")
    assert text.splitlines()[2].endswith("| 416,520 | 0.0123 | 0.5 | 2.3 | 300 |")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Architectures(only=("lenet",)), "only is 'lenet': expected one of lenet5, alexnet, "),
        (Architectures(batch=0), "batch is 0: expected 1 or more"),
    ],
    ids=["only", "batch"],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        survey(settings)


@pytest.mark.parametrize("name", PUBLISHED)
def test_quick_networks_are_small(name):
    entry = architectures.quick(PUBLISHED[name])
    assert entry.counted <= 500_000
    assert max(entry.image_shape[:2]) <= 64
    assert list(shapes.walk(entry.architecture.layers(entry.image_shape, entry.classes), entry.image_shape))


def test_a_quick_step_is_measured_and_nothing_is_written(capsys):
    assert survey(Architectures(only=("lenet5",), quick=True)) == 0
    cells = capsys.readouterr().out.splitlines()[2].split("|")[1:-1]
    seconds, compile_seconds, mebibytes = (float(cells[i].replace(",", "")) for i in (-4, -2, -1))
    assert 0 < seconds < compile_seconds
    assert mebibytes > 100
    assert architectures.PAGE.read_text(encoding="utf-8") == PAGE


def test_a_process_that_dies_is_told(monkeypatch):
    def dies(*call):
        raise BrokenProcessPool

    monkeypatch.setattr(architectures.ProcessPoolExecutor, "submit", dies)
    with pytest.raises(MemoryError, match="the process of vgg16 has died"):
        architectures.measured(PUBLISHED["vgg16"], 2)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_has_every_network_as_it_is_counted():
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:]] == list(PUBLISHED)
    for row in rows[2:]:
        entry = PUBLISHED[row[0]]
        assert row[3] == f"{entry.counted:,}"
        assert row[5] == f"{entry.multiply_adds:,}"
        assert all(float(cell.replace(",", "")) > 0 for cell in (row[6], *row[8:]))
        assert len(row) == 10
    assert "✗" not in PAGE[PAGE.index("| network") :]


def test_the_page_says_where_it_was_measured_and_who_published():
    assert re.search(
        r"`python -m scripts.architectures`: .+ CPU cores; JAX .+, Python .+; \d{4}-\d\d-\d\d; \d+ s\.", PAGE
    )
    assert [name for name, entry in PUBLISHED.items() if f"- {name}: {entry.source}" not in PAGE] == []
