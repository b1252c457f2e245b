"""The page holds everything itself and lets nothing through unescaped."""

import base64
import re

import numpy as np
import pytest

from convnet.report import Section, figures, text_table, write_report

TABLE = [["model", "accuracy"], ["linear", "95.60%"], ["cnn <b>", "99%"]]


@pytest.fixture
def page(tmp_path):
    curves = {"cnn": {"loss": np.array([[1.0, 0.5], [0.8, 0.4]])}}
    sections = [
        Section("Results", table=TABLE, caption="95 % interval"),
        Section("Learning curves", figure=figures.learning_curves(curves, {"loss": "loss (log)"}), caption="of <two>"),
    ]
    write_report(tmp_path / "report.html", "A & B", {"data": "digits"}, sections)
    return tmp_path


def test_page_is_self_contained(page):
    html = (page / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    (image,) = re.findall(r"data:image/png;base64,([^\"]+)", html)
    assert base64.b64decode(image) == (page / "figures" / "learning-curves.png").read_bytes()
    assert base64.b64decode(image).startswith(b"\x89PNG")


def test_text_is_escaped_and_complete(page):
    html = (page / "report.html").read_text()
    for text in ("A &amp; B", "cnn &lt;b&gt;", "of &lt;two&gt;", "95.60%", "digits"):
        assert text in html


def test_nothing_temporary_is_left(page):
    expected = [".written.json", "figures", "learning-curves.png", "report.html"]
    assert sorted(path.name for path in page.rglob("*")) == expected


def test_figures_are_the_same_bytes_every_time(tmp_path):
    for name in ("a", "b"):
        figure = figures.confusion_matrices({"m": np.eye(3, dtype=int)}, ["x", "y", "z"])
        (tmp_path / name).mkdir()
        write_report(tmp_path / name / "r.html", "t", {}, [Section("S", figure=figure)])
    assert (tmp_path / "a" / "r.html").read_bytes() == (tmp_path / "b" / "r.html").read_bytes()


def test_text_table_aligns():
    assert text_table([["a", "n"], ["long", "1"], ["b", "100"]]).splitlines() == [
        "a       n",
        "----  ---",
        "long    1",
        "b     100",
    ]
