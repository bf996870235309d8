"""Files of installed packages are found without importing the package."""

from __future__ import annotations

import pytest

from d2lrun.disk.installed import installed
from d2lrun.errors import Refused


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that cannot be imported, with a file."""
    folder = tmp_path / "broken_corpus"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "data" / "words.txt").write_text("a")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_file_is_found_without_an_import(package):
    assert installed("broken_corpus", "data/words.txt", "zh") == package / "data" / "words.txt"


@pytest.mark.parametrize(
    ("name", "named"), [("no_such_corpus", "is not installed"), ("broken_corpus", "has no data/x")]
)
def test_what_is_missing_names_the_command(package, name, named):
    with pytest.raises(Refused, match=named) as caught:
        installed(name, "data/x", "zh")
    assert caught.value.hint == "pip install 'd2lrun[zh]'"
