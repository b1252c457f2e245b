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
