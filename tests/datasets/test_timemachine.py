from __future__ import annotations

from dataclasses import replace

import pytest

from d2lrun.datasets import timemachine
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused
from d2lrun.tasks.language_model.facts import facts_of
from d2lrun.text.corpus import clean

TEXT = b"The Time Traveller (for so it will be convenient to speak of him)\nwas expounding\n"
FILES = replace(timemachine.FILES, sums={timemachine.FILE: sha256(TEXT)})
PREPARATION = {
    **{"kind": "char", "rule": "letters", "min_freq": 0, "reserved": []},
    "max_tokens": None,
}


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine on which the file is nowhere; its cache is tmp_path/cache."""
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    return tmp_path


@pytest.mark.parametrize("place", ["given", "given/timemachine", "data", "data/timemachine", "cache/timemachine"])
def test_it_is_found_in_every_folder(nowhere, monkeypatch, place):
    monkeypatch.setenv("D2LRUN_DATA", str(nowhere / "data"))
    (nowhere / place).mkdir(parents=True)
    (nowhere / place / "timemachine.txt").write_bytes(TEXT)
    data = timemachine.load(
        str(nowhere / "given") if place.startswith("given") else None, [], files=FILES, **PREPARATION
    )
    assert data.source == str(nowhere / place / "timemachine.txt")
    assert data.name == "timemachine"
    text = "".join(data.vocabulary.decode(data.tokens.tolist()))
    assert text == "the time traveller for so it will be convenient to speak of himwas expounding"


def test_it_is_fetched_as_it_is_and_kept(nowhere, mirror):
    mirror.pages["/b/timemachine.txt"] = TEXT
    said = []
    text, source = timemachine.read(None, [mirror.url, f"{mirror.url}/b/"], said.append, files=FILES)
    assert text.encode() == TEXT
    assert source == f"{mirror.url}/b/timemachine.txt"
    assert said == ["fetching timemachine.txt"]
    assert mirror.requests == {"/timemachine.txt": 1, "/b/timemachine.txt": 1}
    assert (nowhere / "cache" / "timemachine" / "timemachine.txt").read_bytes() == TEXT


def test_the_refusal_offline_names_the_text_that_needs_no_file(nowhere):
    said = []
    with pytest.raises(Refused) as caught:
        timemachine.load(None, [], said.append, **PREPARATION)
    assert said == []  # nothing is fetched without a mirror
    assert str(caught.value).startswith("timemachine: no good timemachine.txt; tried\n")
    assert str(nowhere / "cache" / "timemachine") in str(caught.value)
    for way in ("repeat the command", "dataset.dir=FOLDER", "D2LRUN_DATA=FOLDER", "dataset=pydoc"):
        assert way in caught.value.hint


@pytest.mark.parametrize("page", [b"<!DOCTYPE html>", TEXT[:-1], b"", b"x" * (2 << 20)])
def test_other_content_is_never_taken_for_it(nowhere, mirror, page):
    mirror.pages["/timemachine.txt"] = page
    with pytest.raises(Refused, match=r"sha256 differs|more than 1,048,576 bytes"):
        timemachine.read(None, [mirror.url], files=FILES)
    assert not (nowhere / "cache" / "timemachine" / "timemachine.txt").exists()


# --- the real file, where the user has it --------------------------------------------------------------------


@pytest.fixture
def real(users_environment):
    def load(**changes):
        return timemachine.load(None, [], **{**PREPARATION, **changes})

    try:
        load()
    except Refused:
        pytest.skip("timemachine.txt is not on this machine; `d2lrun data dataset=timemachine` fetches it")
    return load


def facts(data):
    text, _ = timemachine.read(None, [])
    return facts_of(clean(text, data.rule), data.kind, data.vocabulary)


def test_the_characters_are_those_of_the_book(real):
    data = real()
    assert len(data.tokens) == 170_580
    assert data.vocabulary.tokens == ["<unk>", *" etainoshrdlmucfwgypbvkxzjq"]
    found = facts(data)
    assert (found.lines, found.empty, found.tokens, found.types, found.vocabulary) == (3221, 373, 170_580, 27, 28)


def test_the_stream_of_characters_has_no_space_between_lines(real):
    data = real(max_tokens=10_000)
    assert len(data.tokens) == 10_000
    text = "".join(data.vocabulary.decode(data.tokens.tolist()))
    assert text.startswith("the time machine by h g wellsithe time traveller for so it will be")
    assert "speak of himwas expounding" in text


def test_the_words_are_those_of_the_book(real):
    data = real(kind="word")
    found = facts(data)
    assert (found.tokens, found.types, found.vocabulary) == (32_775, 4_579, 4_580)
    assert data.vocabulary.tokens[:10] == ["<unk>", "the", "i", "and", "of", "a", "to", "was", "in", "that"]


@pytest.mark.parametrize(("min_freq", "size"), [(0, 4580), (2, 2183), (5, 825)])
def test_the_vocabulary_of_words_by_least_frequency(real, min_freq, size):
    assert len(real(kind="word", min_freq=min_freq).vocabulary) == size


COMMONEST = {
    "unigrams": (
        4_579,
        "the 2261, i 1267, and 1245, of 1155, a 816, to 695, was 552, in 541, that 443, my 440",
    ),
    "bigrams": (
        20_234,
        "of the 309, in the 169, i had 130, i was 112, and the 109, the time 102, it was 99, "
        "to the 85, as i 78, of a 73",
    ),
    "trigrams": (
        29_882,
        "the time traveller 59, the time machine 30, the medical man 24, it seemed to 16, it was a 15, "
        "here and there 15, seemed to me 14, i did not 14, i saw the 13, i began to 13",
    ),
}


@pytest.mark.parametrize("name", COMMONEST)
def test_the_commonest_words_are_those_of_the_book(real, name):
    types, commonest = COMMONEST[name]
    found = facts(real()).grams[name]
    assert found.types == types
    assert ", ".join(f"{gram} {count}" for gram, count in found.commonest) == commonest
