"""What the runs of each task answer to Python: the same as to the command line."""

from __future__ import annotations

import csv
from datetime import date

import numpy as np
import pytest
import torch

import d2lrun as d2l
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.values import cell_of

FEW = ["device=cpu", "train.epochs=1", "run.pictures=false"]


TABLE = """patient,size,town,seen,price
1,2.5,Rome,2020-01-02,10
2,,Oslo,2020-02-03,20
3,4,Rome,,30.5
4,1,Oslo,2021-03-04,
5,3,,2021-03-05,7
6,2,Rome,2021-03-06,8
"""


@pytest.fixture
def table(tmp_path):
    rows = TABLE.splitlines()
    known = [row.replace(",,2021", ",Oslo,2021") for row in rows[1:] if row[-1] != ","]
    (tmp_path / "rows.csv").write_text("\n".join([rows[0], *known * 3]) + "\n")
    (tmp_path / "new.csv").write_text(TABLE)
    return [*FEW, "model=linear", "dataset=csv", "dataset.path=rows.csv", "dataset.target=price", "dataset.id=null"]


class Frame(dict):
    """A DataFrame has columns and items, as pandas' has."""

    @property
    def columns(self):
        return list(self)


def columns_of(text: str) -> dict[str, list]:
    """The columns with numbers and dates as a DataFrame has them: missing ones are NaN and None."""
    rows = list(csv.DictReader(text.splitlines()))
    return {
        "patient": [int(row["patient"]) for row in rows],
        "size": np.array([float(row["size"] or "nan") for row in rows]),
        "town": [row["town"] or None for row in rows],
        "seen": [date.fromisoformat(row["seen"]) if row["seen"] else None for row in rows],
    }


@pytest.mark.parametrize("kind", [dict, Frame])
def test_the_rows_of_a_dictionary_are_those_of_the_file(table, kind):
    run = d2l.train(*table)
    wanted = run.predict("new.csv")
    assert wanted.shape == (6,) and wanted.isfinite().all()
    torch.testing.assert_close(run.predict(kind(columns_of(TABLE))), wanted, rtol=0, atol=0)


def test_the_classes_of_rows_have_probabilities(table):
    run = d2l.train(*table, "model=softmax", "dataset.target=town", "dataset.drop=[price]")
    found = run.predict("new.csv")
    assert found.classes == ("Oslo", "Rome") and len(found) == 6
    torch.testing.assert_close(found.probabilities.sum(dim=1), torch.ones(6))


class Unknown:
    """pandas.NA: no comparison with it has a truth value."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    def __repr__(self):
        return "<NA>"


def test_a_missing_value_is_an_empty_cell_and_a_whole_number_has_no_point():
    missing = [None, float("nan"), np.float32("nan"), np.datetime64("NaT", "s"), Unknown()]
    assert [cell_of(value) for value in missing] == [""] * len(missing)
    values = [2.0, np.float64(2), torch.tensor(2.0), 0.1, np.int64(3), True, date(2026, 1, 2), " a "]
    assert [cell_of(value) for value in values] == ["2", "2", "2", "0.1", "3", "True", "2026-01-02", "a"]
    for value in (float("inf"), np.float32("-inf"), 1j, b"a"):
        with pytest.raises(ValueError, match="no finite number and no text"):
            cell_of(value)


@pytest.mark.parametrize("rows", [7, {}, {"size": [1, 2], "town": ["a"]}, {"size": [1]}])
def test_rows_that_are_none_are_refused(table, rows):
    run = d2l.train(*table)
    with pytest.raises(Refused):
        run.predict(rows)


def test_texts_are_classified_as_on_the_command_line(d2lrun, own_texts):
    run = d2l.train(*FEW, "model=bag-of-words", "dataset=labelled-text", *own_texts)
    found = run.predict(["it is good 3", "it is so bad 5"])
    assert found.classes == ("bad", "good") and found.probabilities.shape == (2, 2)
    said = d2lrun("predict", run.directory, "it is good 3", "top=1").out
    assert f"{100 * found.probabilities[0].max():.1f}%" in said and found.labels[0] in said
    assert len(run.predict()) == 30


def test_the_parts_of_every_task_are_at_hand(tmp_path):
    (tmp_path / "own.txt").write_text("abc def\n" * 400)
    _, targets = d2l.data("dataset=text", "dataset.path=own.txt").train
    assert sum(map(torch.numel, targets)) == 400 * 8 - 1  # all but the first
    (source, _), target = d2l.data("dataset=arithmetic", "dataset.n_train=20", "dataset.n_test=5").test
    assert len(source) == len(target) == 5
    assert [len(part) for part in d2l.data("dataset=sine").train] == [600, 600]


def test_the_examples_of_a_part_are_in_stored_order_and_not_sorted_by_length(own_texts):
    one, same = (d2l.data("dataset=labelled-text", *own_texts) for _ in range(2))
    assert one.test[1].tolist() == [0, 1] * 15
    assert one != same  # tensors are never compared


def test_a_text_is_continued_as_on_the_command_line(d2lrun, tmp_path):
    (tmp_path / "own.txt").write_text("the time traveller said so\n" * 40)
    run = d2l.train(*FEW, "model=gru", "dataset=text", "dataset.path=own.txt", "dataset.steps=5", model__hidden=8)
    found = run.generate("the t", length=7)
    assert found.startswith("the t") and len(found) == 12
    assert d2lrun("generate", run.directory, "prefix=the t", "length=7").out == f"{found}\n"


def test_sentences_are_translated_and_tagged_and_series_continued(d2lrun, tmp_path):
    sums = d2l.train(*FEW, "model=seq2seq", "dataset=arithmetic", "dataset.n_train=64", "dataset.n_test=8")
    answers = sums.translate(["1+2", "10+20"])
    assert "\n".join(answers) + "\n" == d2lrun("translate", sums.directory, "1+2", "10+20").out
    (tmp_path / "tagged.txt").write_text("the D\ncat N\n\na D\ndog N\n\n" * 10)
    tags = d2l.train(*FEW, "model=lstm", "dataset=tagged-text", "dataset.path=tagged.txt", model__hidden=4)
    [[first, second]] = tags.tag("the dog")
    assert (first[0], second[0]) == ("the", "dog") and {first[1], second[1]} <= {"D", "N"}
    wave = d2l.train(*FEW, "model=mlp", "dataset=sine", "dataset.n_train=40", "dataset.n_test=20")
    values = wave.forecast(steps=3)
    assert len(values) == 3 and wave.forecast([0.0, 0.1, 0.2, 0.3, 0.4], steps=2) != values[:2]
    d2lrun("forecast", wave.directory, "steps=3")
    written = list(csv.reader((wave.directory / "forecast.csv").read_text().splitlines()))[1:]
    assert [float(value) for _, value in written] == values
    with pytest.raises(Refused, match="too few for a window"):
        wave.forecast([1.0])
