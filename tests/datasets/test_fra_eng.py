"""English and French sentences: the book's counts if the file is there, else an archive of the same layout."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest

from d2lrun.datasets import fra_eng
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

TEXT = "Go.\tVa !\nHi.\tSalut !\nno columns\nRun!\tCours\u202f!\tthird\nI'm 1,5.\tJ’ai\xa0!\n"
SETTINGS = {
    **{"source_kind": "word", "target_kind": "word", "max_pairs": 601, "held_out": False},
    **{"min_freq": 2, "steps": 10, "batches": "fixed", "loss": "book"},
}


def archive(text=TEXT):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(zipfile.ZipInfo("fra-eng/fra.txt"), text)  # without the time of now
    return content.getvalue()


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine on which the file is nowhere; its cache is tmp_path/cache."""
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    return tmp_path


def test_lines_with_two_columns_are_read_and_the_others_counted(nowhere):
    content, said = archive(), []
    (nowhere / fra_eng.FILE).write_bytes(content)
    files = replace(fra_eng.FILES, sums={fra_eng.FILE: sha256(content)})
    data = fra_eng.load(str(nowhere), [], say=said.append, files=files, **SETTINGS)
    assert data.part("train").cases() == {"go .": ["va !"], "hi .": ["salut !"], "i'm 1 ,5 .": ["j’ai !"]}
    assert said == [f"{nowhere / fra_eng.FILE}: 2 lines without two columns left out"]
    assert data.source == str(nowhere / fra_eng.FILE)


def test_the_refusal_offline_names_what_needs_no_download(nowhere):
    with pytest.raises(Refused) as caught:
        fra_eng.load(None, [], **SETTINGS)
    assert str(caught.value).startswith("fra-eng: no good fra-eng.zip; tried\n")
    for way in ("repeat the command", "dataset.dir=FOLDER", "dataset=arithmetic", "dataset=pairs"):
        assert way in caught.value.hint
    assert not (nowhere / "cache" / "fra-eng" / fra_eng.FILE).exists()


@pytest.fixture
def real(users_environment):
    """``real(KEY=VALUE…)`` is the book's data, or the test is skipped."""

    def load(**changes):
        try:
            return fra_eng.load(None, [], **{**SETTINGS, **changes})
        except Refused:
            pytest.skip("fra-eng.zip is not on this machine")

    return load


def test_the_counts_of_the_books_pairs_are_exact(real):
    data = real()
    sides = (data.sources, data.targets)
    assert [len(side.whole["train"]) for side in sides] == [601, 601]
    assert [len(side.vocabulary) for side in sides] == [184, 201]
    assert [len(side.whole["train"].items) for side in sides] == [1832, 1940]
    assert [int(side.whole["train"].lengths.max()) for side in sides] == [4, 7]
    assert [round(side.unknown("train"), 3) for side in sides] == [0.043, 0.178]
    assert [int(side.encoded["train"].lengths.sum()) for side in sides] == [2433, 2541]
    assert int(data.groups.max()) + 1 == 332
    known = data.part("train").cases()
    assert [source in known for source in data.samples] == [True, True, False, True]


def test_the_counts_of_all_pairs_are_exact(real):
    data = real(max_pairs=None, steps=None, batches="by_length", loss="token")
    sides = (data.sources, data.targets)
    assert [len(side.whole["train"]) for side in sides] == [167_130] * 2
    assert [len(side.types) for side in sides] == [14_880, 29_387]
    assert [len(side.vocabulary) for side in sides] == [10_012, 17_851]
    assert [len(side.whole["train"].items) for side in sides] == [1_206_295, 1_267_605]
    assert [int(side.whole["train"].lengths.max()) for side in sides] == [51, 58]
