"""The page holds everything itself and lets nothing through unescaped."""

import base64
import csv
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from convnet.report import Part, Picture, Section, Tile, csv_text, figures, text_table, write_report
from convnet.report.page import slugs

TABLE = [["model", "accuracy"], ["linear", "95.60%"], ["cnn <b>", "99%"]]


@pytest.fixture
def page(tmp_path):
    curves = {"cnn": {"loss": np.array([[1.0, 0.5], [0.8, 0.4]])}}
    sections = [
        Section("Results", table=TABLE, caption="95 % interval"),
        Section.of("Learning curves", figures.learning_curves(curves, {"loss": "loss (log)"}), "curves", "of <two>"),
    ]
    write_report(tmp_path / "report.html", "A & B", {"data": "digits"}, sections)
    return tmp_path


def test_page_is_self_contained(page):
    html = (page / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    (image,) = re.findall(r"data:image/png;base64,([^\"]+)", html)
    assert base64.b64decode(image) == (page / "figures" / "learning-curves.png").read_bytes()
    assert base64.b64decode(image).startswith(b"\x89PNG")


def test_every_cell_stands_below_its_heading(page):
    html = (page / "report.html").read_text()
    assert "<thead><tr><th>model</th><th>accuracy</th></tr></thead>" in html
    assert "<tr><td>linear</td><td>95.60%</td></tr>" in html
    assert "<dt>data</dt><dd>digits</dd>" in html


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
        write_report(tmp_path / name / "r.html", "t", {}, [Section.of("S", figure, "a matrix")])
    assert (tmp_path / "a" / "r.html").read_bytes() == (tmp_path / "b" / "r.html").read_bytes()


def test_text_table_aligns():
    assert text_table([["a", "n"], ["long", "1"], ["b", "100"]]).splitlines() == [
        "a       n",
        "----  ---",
        "long    1",
        "b     100",
    ]


def test_text_table_keeps_columns_whatever_the_names():
    table = [["a", "n"], ["two\nlines", "1"], ["数字", "100"], ["e\u0301", "2"]]
    assert text_table(table).splitlines()[2:] == ["two lines    1", "数字       100", "e\u0301            2"]


def test_csv_holds_any_name():
    names = ["a, b", 'say "x"', "two\nlines", "=1+1", " space ", "数", "", "caf\udce9"]
    text = csv_text([{"arm": name, "score": 0.5, "p": None} for name in names]).decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["arm"] for row in rows] == [*names[:-1], "caf\\udce9"]
    assert {(row["score"], row["p"]) for row in rows} == {("0.5", "")}


# --- names of sections ------------------------------------------------------------------------------------------------


def test_slugs_are_distinct_short_and_plain():
    titles = [
        "Curves",
        "curves!",
        "CURVES",
        "数字",
        "عدد",
        "",
        "é",
        "É",
        "x" * 300,
        "x" * 301,
        "a b",
        "a-b",
        "curves 2",
    ]
    found = slugs(titles)
    assert found[:5] == ["curves", "curves-2", "curves-3", "section", "section-2"]
    assert found[-1] == "curves-2-2"
    assert len({slug.lower() for slug in found}) == len(titles)
    assert all(re.fullmatch("[a-z0-9-]{1,64}", slug) for slug in found)


def drawing(value):
    return figures.scaling({"a": ([1, 2], [value, 1.0])}, "x", "y")


def pictures(folder):
    return sorted(path.name for path in (folder / "figures").glob("*.png"))


def test_sections_of_one_title_show_their_own_pictures(tmp_path):
    sections = [
        Section.of(title, drawing(value), "a line")
        for title, value in (("Curves", 1.0), ("Curves", 2.0), ("curves", 3.0))
    ]
    assert write_report(tmp_path / "report.html", "t", {}, sections) == []
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = [base64.b64decode(image) for image in re.findall(r"base64,([^\"]+)", html)]
    assert pictures(tmp_path) == ["curves-2.png", "curves-3.png", "curves.png"]
    files = [(tmp_path / "figures" / f"{name}.png").read_bytes() for name in ("curves", "curves-2", "curves-3")]
    assert shown == files
    assert len(set(files)) == 3
    anchors = re.findall(r'section id="([^"]+)"', html)
    contents = html[html.index("<nav") : html.index("</nav>")]
    assert anchors == re.findall(r'href="#([^"]+)"', contents) == ["curves", "curves-2", "curves-3"]


def test_a_section_shows_all_its_pictures_each_with_its_own_words(tmp_path):
    """The same key again, in another section, is another picture."""
    one = [Picture(f"Loss of {name}", drawing(value), f"alt {name} <", f"caption {name} &")
           for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0))]  # fmt: skip
    sections = [Section("Curves", "text", TABLE, "below the table", one),
                Section("Curves", pictures=[Picture("loss of A", drawing(4.0), "alt d")])]  # fmt: skip
    assert write_report(tmp_path / "report.html", "t", {}, sections) == []
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    image = r'<img class="chart" alt="([^"]*)" src="data:image/png;base64,([^"]+)"></div>'
    shown = re.findall(image + r"(?:\n<figcaption>(.*?)</figcaption>)?", html)
    files = {"loss-of-a": 0, "loss-of-b": 1, "loss-of-c": 2, "loss-of-a-2": 3}
    images = {name: (tmp_path / "figures" / f"{name}.png").read_bytes() for name in files}
    assert pictures(tmp_path) == sorted(f"{name}.png" for name in files)
    assert {alt: base64.b64decode(data) for alt, data, _ in shown} == {
        "alt a &lt;": images["loss-of-a"],
        "alt b &lt;": images["loss-of-b"],
        "alt c &lt;": images["loss-of-c"],
        "alt d": images["loss-of-a-2"],
    }
    assert len(set(images.values())) == 4
    assert {alt: caption for alt, _, caption in shown} == {
        "alt a &lt;": "caption a &amp;", "alt b &lt;": "caption b &amp;", "alt c &lt;": "caption c &amp;", "alt d": "",
    }  # fmt: skip
    assert html.index("below the table") < html.index("caption a")


def test_files_keep_their_names_when_other_pictures_come_and_go(tmp_path):
    """They are those of the keys, not of places."""
    few, many = (
        [Section("S", pictures=[Picture(key, drawing(float(len(key))), key) for key in keys])]
        for keys in (["bb"], ["a", "bb", "ccc"])
    )
    write_report(tmp_path / "report.html", "t", {}, few)
    alone = (tmp_path / "figures" / "bb.png").read_bytes()
    write_report(tmp_path / "report.html", "t", {}, many)
    assert (tmp_path / "figures" / "bb.png").read_bytes() == alone
    assert pictures(tmp_path) == ["a.png", "bb.png", "ccc.png"]


def test_a_picture_that_cannot_be_drawn_leaves_its_neighbours(tmp_path):
    shown = [
        Picture("first", drawing(1.0), "1"),
        Picture("second", Undrawable(), "2"),
        Picture("third", drawing(3.0), "3"),
    ]
    failures = write_report(tmp_path / "report.html", "t", {}, [Section("Three", pictures=shown)])
    assert failures == ["Three: could not be made (RuntimeError: no such colour)"]
    assert pictures(tmp_path) == ["first.png", "third.png"]
    assert re.findall('<img class="chart" alt="(.)"', (tmp_path / "report.html").read_text(encoding="utf-8")) == [
        "1",
        "3",
    ]


def test_only_wide_pictures_scroll_on_a_phone(tmp_path):
    sections = [Section.of(name, Figure(figsize=size), name) for name, size in {"a": (6, 1), "b": (3, 3)}.items()]
    write_report(tmp_path / "report.html", "t", {}, sections)
    found = re.findall(
        r"<img class=\"chart( wide)?\" alt=\"(.)\"", (tmp_path / "report.html").read_text(encoding="utf-8")
    )
    assert found == [(" wide", "a"), ("", "b")]


# --- what cannot be made ----------------------------------------------------------------------------------------------


def broken():
    raise KeyError("no such run")


class Undrawable:
    def savefig(self, *args, **options):
        raise RuntimeError("no such colour")

    def findobj(self, *args):
        return []

    axes = ()


def test_what_cannot_be_made_says_so_in_its_place(tmp_path):
    parts = [
        Part("First", broken),
        Section("Second", "Of two.", pictures=[Picture("second", Undrawable(), "nothing", "below")]),
        Part("Third", lambda: Section.of("Third", drawing(1.0), "a line")),
        Part("None", lambda: None),
    ]
    failures = write_report(tmp_path / "report.html", "t", {}, parts)
    assert failures == [
        "First: could not be made (KeyError: 'no such run')",
        "Second: could not be made (RuntimeError: no such colour)",
    ]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "This part could not be made (KeyError: &#39;no such run&#39;)." in html
    assert "<p>Of two.</p>\n<figure>\n<p>This part could not be made (RuntimeError: no such colour).</p>" in html
    assert re.findall("<h2>(.*)</h2>", html) == ["First", "Second", "Third"]
    assert pictures(tmp_path) == ["third.png"]


def test_an_interruption_is_no_missing_picture(tmp_path):
    def interrupted():
        raise KeyboardInterrupt("by hand")

    with pytest.raises(KeyboardInterrupt, match="by hand"):
        write_report(tmp_path / "report.html", "t", {}, [Part("First", interrupted)])


def test_a_byte_that_is_no_letter_costs_nothing(tmp_path):
    assert write_report(tmp_path / "report.html", "t", {"command": "--out caf\udce9"}, []) == []
    assert "--out caf\\udce9" in (tmp_path / "report.html").read_text(encoding="utf-8")


# --- pictures of earlier reports --------------------------------------------------------------------------------------


def report(folder, *titles, name="report.html"):
    write_report(folder / name, "t", {}, [Section.of(title, drawing(1.0), "a line") for title in titles])


def test_pictures_that_a_report_has_no_more_are_removed(tmp_path):
    report(tmp_path, "Curves", "Filters", "Templates")
    report(tmp_path, "Curves")
    assert pictures(tmp_path) == ["curves.png"]
    write_report(tmp_path / "report.html", "t", {}, [])
    assert pictures(tmp_path) == []


def test_files_of_others_stay(tmp_path):
    report(tmp_path, "Curves", "Filters", "Templates")
    report(tmp_path, "Curves", "Filters", name="another.html")
    mine = tmp_path / "figures" / "mine.png"
    mine.write_bytes(b"mine")
    (tmp_path / "figures" / "templates.png").write_bytes(b"drawn upon")
    report(tmp_path, "Curves")
    assert pictures(tmp_path) == ["curves.png", "filters.png", "mine.png", "templates.png"]
    assert mine.read_bytes() == b"mine"


def test_a_list_that_was_lost_removes_nothing(tmp_path):
    report(tmp_path, "Curves", "Filters")
    (tmp_path / "figures" / ".written.json").write_text("{")
    report(tmp_path, "Curves")
    assert pictures(tmp_path) == ["curves.png", "filters.png"]


def test_an_interrupted_report_is_tidied_by_the_next(tmp_path, monkeypatch):
    report(tmp_path, "Curves")
    with monkeypatch.context() as patch:
        patch.setattr("convnet.report.files.write_atomically", _fails_on("report.html"))
        with pytest.raises(OSError, match="full"):
            report(tmp_path, "Filters")
    assert pictures(tmp_path) == ["curves.png", "filters.png"]
    report(tmp_path, "Costs")
    assert pictures(tmp_path) == ["costs.png"]


def _fails_on(name):
    from convnet.record import write_atomically

    def write(path, content):
        if path.name == name:
            raise OSError("full")
        write_atomically(path, content)

    return write


# --- pixels -----------------------------------------------------------------------------------------------------------


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_tiles_stand_in_their_cells_pixel_by_pixel(tmp_path, rng):
    one, two = rng.integers(0, 256, (5, 7, 3)), rng.integers(0, 256, (30, 20, 3))
    table = [
        ["unit", "filter"],
        ["conv1:0", Tile(one / 255, "a <filter>", "norm 1.5")],
        ["conv1:1", Tile(two / 255, "b")],
    ]
    assert write_report(tmp_path / "r.html", "t", {}, [Section("Filters", table=table)]) == []
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    found = re.findall(
        r'<td>(\S+?)</td><td>.*?<img class="pixels" width="(\d+)" alt="(.*?)" src=".*?,(.*?)">(.*?)</td>', html
    )
    texts = {unit: (int(width), alt, rest) for unit, width, alt, _, rest in found}
    assert texts == {"conv1:0": (70, "a &lt;filter&gt;", "<span>norm 1.5</span></div>"),
                     "conv1:1": (80, "b", "</div>")}  # fmt: skip
    pixels = {unit: decoded(data) for unit, _, _, data, _ in found}
    np.testing.assert_array_equal(pixels["conv1:0"], one)
    np.testing.assert_array_equal(pixels["conv1:1"], two)


def test_a_picture_of_pixels_is_a_file_of_so_many(tmp_path, rng):
    image = rng.integers(0, 256, (5, 7, 3))
    write_report(tmp_path / "r.html", "t", {}, [Section("S", pictures=[Picture("maps", image / 255, "maps")])])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "figures" / "maps.png")), image)


@pytest.mark.parametrize(
    ("image", "told"),
    [(np.zeros((2, 2)), r"\[H, W, 3\]"), (np.full((1, 1, 3), 1.5), "1.5"), (np.full((1, 1, 3), np.nan), "nan")],
)
def test_what_is_no_colour_says_so_in_its_place(tmp_path, image, told):
    sections = [Section("S", table=[["a"], [Tile(image, "x")]], pictures=[Picture("p", image, "y")])]
    failures = write_report(tmp_path / "r.html", "t", {}, sections)
    assert len(failures) == 2
    assert all(re.search(told, line) for line in failures)


def test_numbers_stand_beside_the_page_and_go_with_their_section(tmp_path, rng):
    arrays = {"maps": rng.normal(size=(2, 3)), "layer": np.array("conv1")}
    for name in ("a", "b"):
        write_report(tmp_path / name / "r.html", "t", {}, [Section("Feature maps", arrays=arrays)])
    file = tmp_path / "a" / "arrays" / "feature-maps.npz"
    assert file.read_bytes() == (tmp_path / "b" / "arrays" / "feature-maps.npz").read_bytes()
    with np.load(file) as found:
        np.testing.assert_array_equal(found["maps"], arrays["maps"])
        assert str(found["layer"]) == "conv1"
    write_report(tmp_path / "a" / "r.html", "t", {}, [Section("Other")])
    assert not file.exists()
