"""vocabulary.json of runs on separate sequences."""

from __future__ import annotations

import pytest

from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.text import record


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


def test_the_lists_are_read_back(directory):
    record.write(directory, ["<unk>", "好"], labels=["neg", "pos"])
    assert record.read(directory, "labels", "tokens") == [["neg", "pos"], ["<unk>", "好"]]
    assert directory.vocabulary_file.read_text("utf-8").startswith('{\n  "tokens": ')


def test_a_run_that_has_not_begun_is_refused(directory):
    with pytest.raises(Refused, match=r"has no vocabulary\.json: it has not begun"):
        record.read(directory, "tokens")


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"tokens": []}', '{"tokens": "a"}', '{"tokens": ["a", 1]}', '{"tokens": ["a", "a"]}']
)
def test_a_damaged_file_is_refused(directory, content):
    directory.vocabulary_file.write_text(content, encoding="utf-8")
    with pytest.raises(Refused, match="is damaged"):
        record.read(directory, "tokens")
