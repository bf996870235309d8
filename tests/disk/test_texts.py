"""The texts of a command: words, and the lines of files."""

from __future__ import annotations

import pytest

from d2lrun.disk.texts import lines_of, read_file
from d2lrun.errors import Refused


def test_a_word_is_a_text_and_a_file_is_its_lines_which_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_bytes("\ufeffgo .\r\n\r\n何 .".encode())
    assert lines_of(["hi .", "lines.txt", "no file.txt", ""]) == ["hi .", "go .", "何 .", "no file.txt", ""]
    assert lines_of(["lines.txt"], blank=True) == ["go .", "", "何 ."]
    read = "lines.txt is a file: each of its lines is a text\n"
    assert capsys.readouterr().err == f"{read}no file.txt: no such file, so it is read as a text\n{read}"


def test_a_file_in_another_encoding_is_read_if_it_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("时间".encode("gb18030"))
    assert lines_of([str(tmp_path / "a.txt")], "gb18030") == ["时间"]
    with pytest.raises(Refused, match="is not UTF-8"):
        lines_of([str(tmp_path / "a.txt")])


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(Refused, match="is a folder"):
        lines_of([str(tmp_path)])


def test_a_hint_names_no_key_since_a_verb_or_another_key_may_have_named_the_file(tmp_path):
    for path in (tmp_path, tmp_path / "missing.csv", tmp_path / "not\0a name"):
        with pytest.raises(Refused) as refusal:
            read_file(str(path), 10)
        assert "dataset." not in refusal.value.hint


def test_a_long_text_is_no_name_of_a_file():
    assert lines_of(["word " * 2000]) == ["word " * 2000]
