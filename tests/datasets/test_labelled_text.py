"""The user's own labelled texts: files of rows and folders."""

from __future__ import annotations

import pytest

from d2lrun.datasets.labelled_text import load
from d2lrun.errors import Refused

ROWS = [("good film", "pos"), ("bad film", "neg"), ("so good", "pos")]


def read(*path, test=(), encoding="utf-8", text=None, label=None):
    said = []
    data = load([*map(str, path)], [*map(str, test)], encoding, text, label, "word", "none", said.append)
    parts = [
        [(one, data.classes[k]) for one, k in zip(data.texts[name], data.labels[name].tolist())]
        for name in ("train", "test")
    ]
    return data, *parts, said


@pytest.fixture
def file(tmp_path):
    def write(content, name="a.tsv", encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def lines(rows, comma="\t", end="\n"):
    return "".join(comma.join(row) + end for row in rows)


@pytest.mark.parametrize(
    "content, name, encoding",
    [
        (lines(ROWS), "a.tsv", "utf-8"),
        (lines(ROWS, end="\r\n"), "a.tsv", "utf-8-sig"),
        (lines(ROWS, ","), "a.csv", "utf-8"),
        (lines(ROWS, ";"), "a.csv", "gb18030"),
        (lines(ROWS).rstrip("\n"), "a.txt", "utf-16"),
        ("\n\n" + lines(ROWS, end="\n\n"), "a", "utf-8"),
        (lines([row[::-1] for row in ROWS]), "a.tsv", "utf-8"),
        (lines([("text", "label"), *ROWS]), "a.tsv", "utf-8"),
        (lines([("Sentiment", "id", "Review"), *((b, str(n), a) for n, (a, b) in enumerate(ROWS))]), "a.tsv", "utf-8"),
    ],
)
def test_a_file_is_read_in_each_usual_form(file, content, name, encoding):
    data, train, test, _ = read(file(content, name, encoding), encoding=encoding.removesuffix("-sig"))
    assert (data.classes, train, test) == (("neg", "pos"), ROWS, [])


def test_columns_are_chosen_by_name_or_number(file):
    rows = [
        ("who", "what", "stars", "more"),
        *((f"user{n}", text, label, "x" * 50) for n, (text, label) in enumerate(ROWS)),
    ]
    path = file(lines(rows))
    assert read(path, text="what", label="stars")[1] == ROWS
    assert read(path, text=2, label="stars")[1] == ROWS
    assert read(path, text="2", label="stars")[1] == ROWS
    assert read(path, text=2, label=3)[1] == [rows[0][1:3], *ROWS]


def test_what_is_read_is_said(file):
    path = file(lines(ROWS))
    assert read(path)[3] == [f"{path}: 3 rows, texts in column 1, labels in column 2, no header"]
    path = file(lines([("label", "text"), *(row[::-1] for row in ROWS)]))
    assert read(path)[3] == [f"{path}: 3 rows, texts in column 2, labels in column 1, a header"]


def test_several_files_and_a_test_file(file):
    one, two, other = file(lines(ROWS), "1.tsv"), file(lines(ROWS, ","), "2.csv"), file(lines(ROWS[:1]), "3.tsv")
    data, train, test, _ = read(one, two, test=[other])
    assert (train, test) == ([*ROWS, *ROWS], ROWS[:1])
    assert [content.origin for content in data.contents] == [str(one), str(two), str(other)]


def test_a_folder_has_a_subfolder_for_each_class(file, tmp_path):
    for name, content in (("neg/2.txt", "bad"), ("neg/1.TXT", "worse\nfilm"), ("pos/1.txt", "good")):
        file(content, f"all/{name}")
    for skipped in ("readme.txt", "pos/1.json", "pos/.hidden.txt"):
        file("x", f"all/{skipped}")
    _, train, _, said = read(tmp_path / "all")
    assert train == [("worse\nfilm", "neg"), ("bad", "neg"), ("good", "pos")]
    assert said == [f"{tmp_path / 'all'}: 2 files skipped that are no .txt file of a class"]


def test_a_folder_may_have_a_training_and_a_test_part(file, tmp_path):
    for name in ("train/a/1.txt", "train/b/1.txt", "test/b/2.txt"):
        file(name, f"all/{name}")
    _, train, test, _ = read(tmp_path / "all")
    assert (train, test) == ([("train/a/1.txt", "a"), ("train/b/1.txt", "b")], [("test/b/2.txt", "b")])


def test_a_class_that_only_the_test_part_has_is_a_class(file):
    data, _, test, _ = read(file(lines(ROWS), "1.tsv"), test=[file(lines([("what", "mixed")]), "2.tsv")])
    assert (data.classes, test) == (("mixed", "neg", "pos"), [("what", "mixed")])


def test_the_content_of_a_folder_is_its_names_and_texts(file, tmp_path):
    def contents():
        return [content.sha256 for content in read(tmp_path / "all")[0].contents]

    file("good", "all/a/1.txt"), file("bad", "all/b/1.txt")
    before = contents()
    file("bad ", "all/b/1.txt")
    assert contents()[0] == before[0] and contents()[1] != before[1]


@pytest.mark.parametrize(
    "content, options, message",
    [
        (lines([("a", "x"), ("b", "x")]), {}, "2 texts with one class only (x)"),
        ("a\nb\n", {}, "line 1: one column, wanted a text and a label"),
        (lines([*ROWS, ("no label", " ")]), {}, "line 4: no label"),
        (lines([*ROWS, ("a", "tab", "pos")]), {}, "line 4: 3 columns, wanted 2"),
        (lines(ROWS), {"label": "stars"}, "dataset.label=stars: no such column in"),
        (lines(ROWS), {"text": 3}, "dataset.text=3: no such column in"),
        (lines(ROWS), {"text": 1, "label": 1}, "column 1 is given for texts and labels"),
        (lines([("text", "label")]), {}, "has no labelled text"),
        (b"caf\xe9\tpos\n", {}, "byte 3 (0xe9) is not UTF-8"),
        (b"a\x00b\tpos\n", {}, "is binary"),
        ("", {}, "is empty"),
    ],
)
def test_a_file_of_another_form_is_refused(file, content, options, message):
    with pytest.raises(Refused) as caught:
        read(file(content), **options)
    assert message in str(caught.value) and caught.value.hint


def test_other_places_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, message in (
        ([], "needs dataset.path"),
        (["no"], "no: No such file"),
        ([tmp_path / "empty"], "no labelled"),
    ):
        with pytest.raises(Refused, match=message):
            read(*path)
    with pytest.raises(Refused, match=r"dataset\.encoding=klingon"):
        read("a.tsv", encoding="klingon")
