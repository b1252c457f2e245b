"""Lines survive a process that is killed in the middle of one."""

from convnet import json_lines


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert json_lines.read(path) == []
    for value in ({"a": 1.5, "b": ["ä\n"]}, [1, 2], None):
        json_lines.append(path, value)
    assert json_lines.read(path) == [{"a": 1.5, "b": ["ä\n"]}, [1, 2], None]


def test_a_line_that_was_torn_is_none_and_spoils_no_other(tmp_path):
    path = tmp_path / "lines.jsonl"
    json_lines.append(path, {"first": 1})
    json_lines.append(path, {"second": 2})
    path.write_text(path.read_text(encoding="utf-8")[:-4], encoding="utf-8")
    json_lines.append(path, {"third": 3})
    assert json_lines.read(path) == [{"first": 1}, {"third": 3}]


def test_lines_that_end_as_usual_are_read_too(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"first": 1}\n{"second": 2}\n', encoding="utf-8")
    json_lines.append(path, {"third": 3})
    assert json_lines.read(path) == [{"first": 1}, {"second": 2}, {"third": 3}]


def test_what_was_measured_is_not_measured_again_unless_the_code_is_another(tmp_path):
    path, measured = tmp_path / "lines.jsonl", []

    def value_of(code, key):
        return json_lines.Kept(path, code).of(key, lambda: measured.append((code, key)) or {"n": len(measured)})

    assert [value_of("a", ["x", "y"]), value_of("a", ["x", "y"]), value_of("a", ["x"])] == [
        {"n": 1},
        {"n": 1},
        {"n": 2},
    ]
    assert value_of("b", ["x", "y"]) == {"n": 3}
    assert measured == [("a", ["x", "y"]), ("a", ["x"]), ("b", ["x", "y"])]


def test_without_a_file_it_is_known_as_long_as_the_process_lives():
    kept, measured = json_lines.Kept(None, "a"), []
    assert [kept.of(["x"], lambda: measured.append(1) or 7) for _ in range(2)] == [7, 7]
    assert len(measured) == 1
