"""One's own table: what its columns are, and what the network gets."""

from __future__ import annotations

import io
import re
import statistics

import pytest
import torch
from rich.console import Console

from d2lrun import datasets
from d2lrun.config import schema
from d2lrun.config.compose import compose
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.tables import show_table

HEAD = "Id,size,town,built,remark,price"
ROWS = [
    f"{100 + n},{n * 7 % 13 if n % 5 else 'NA'},{['Rom', 'Bonn', 'Köln'][n % 3]},2020-01-{n + 1:02},text {n},{n * 3}.5"
    for n in range(12)
]
TABLE = "\n".join([HEAD, *ROWS, ""])


@pytest.fixture
def load(tmp_path, monkeypatch):
    """``load(TEXT, KEY=VALUE…)``: the dataset of a file with this text, read as the command line would."""
    monkeypatch.chdir(tmp_path)

    def load(content=TABLE, test=None, **keys):
        for name, text in (("a.csv", content), ("b.csv", test)):
            if text is not None:
                (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        keys = {"path": "a.csv", "target": "price", **({} if test is None else {"test": "b.csv"}), **keys}
        words = [f"dataset.{key}={value}" for key, value in keys.items()]
        return datasets.load(compose(["model=linear", "dataset=csv", *words]).dataset)

    return load


def kinds(data):
    return {field.name: field.kind for field in data.fields}


def test_the_kind_of_each_column_is_found(load):
    data = load()
    assert kinds(data) == {"size": "number", "town": "category", "built": "date", "remark": "text"}
    assert data.identifier == "Id" and data.outputs == 1 and data.classes == ()
    assert data.inputs == (1 + 1 + 4,)  # size, built, three towns and none
    assert any("not used, since it is text: remark" in line for line in data.remarks)


@pytest.mark.parametrize(
    "content",
    [
        TABLE.replace("\n", "\r\n"),
        "\ufeff" + TABLE,
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", "|"),
        TABLE.replace(",", ";").replace(".5", ",5"),
        "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in TABLE.splitlines()),
        TABLE.replace("NA", ""),
        TABLE.replace("\n", "\n\n"),
    ],
    ids=["CRLF", "BOM", "semicolons", "tabs", "bars", "decimal commas", "quotes", "empty cells", "empty lines"],
)
def test_a_table_is_the_same_in_every_form(load, content):
    plain, other = load(), load(content)
    assert torch.equal(plain.train_features, other.train_features)
    assert torch.equal(plain.train_targets, other.train_targets)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_other_encodings_are_read_if_named(load, encoding):
    plain = load()
    assert torch.equal(load(TABLE.encode(encoding), encoding=encoding).train_features, plain.train_features)
    with pytest.raises(Refused, match=r"utf-?8|UTF-?8|binary"):
        load(TABLE.encode(encoding))


def test_the_fit_uses_the_rows_that_train_only(load):
    data = load().fitted(torch.arange(6))
    sizes = [n * 7 % 13 for n in range(6) if n % 5]
    wanted = [(n * 7 % 13 - statistics.mean(sizes)) / statistics.stdev(sizes) if n % 5 else 0 for n in range(12)]
    assert data.train_features[:, 0].tolist() == pytest.approx(wanted, rel=1e-5)
    prices = [n * 3 + 0.5 for n in range(6)]
    assert data.scale == pytest.approx((statistics.mean(prices), statistics.stdev(prices)))
    _, targets = data.part("train").load(torch.arange(12))
    assert targets[:6].mean().item() == pytest.approx(0, abs=1e-6)


def test_a_category_that_no_training_row_has_is_nothing(load):
    data = load().fitted(torch.tensor([0, 3, 6]))  # all in Rom
    assert data.train_features[:, 2:].sum(dim=0).tolist() == [0, 0, 4, 0]  # Bonn, Köln, Rom, none


@pytest.mark.parametrize(
    "keys, classes",
    [
        ({"target": "town"}, ("Bonn", "Köln", "Rom")),
        ({"target": 3}, ("Bonn", "Köln", "Rom")),
        ({"target": "price"}, ()),
        ({"target": "size", "drop": "[town]", "task": "classification"}, None),
    ],
)
def test_a_target_of_numbers_is_a_regression_and_of_texts_a_classification(load, keys, classes):
    content = TABLE.replace("NA", "1")
    data = load(content, **keys)
    if classes is None:
        assert [float(name) for name in data.classes] == sorted(map(float, data.classes)) and len(data.classes) > 5
    else:
        assert data.classes == classes
    assert data.outputs == (len(data.classes) or 1)


def test_named_categories_and_dropped_columns(load):
    data = load(categories="[size]", drop="[town,remark]")
    assert kinds(data) == {"size": "category", "built": "date"}


def test_rows_to_predict_have_the_columns_and_maybe_the_target(load):
    rows = "price,town,size,remark,built,Id,extra\n1.5,Rom,3,x,2020-02-01,7,9\n"
    data = load(test=rows)
    assert data.test_targets.tolist() == [[1.5]] and data.test_ids == ("7",) and data.test_features.shape == (1, 6)
    assert any("only b.csv has it: extra" in line for line in data.remarks)
    bare = load(test="town,size,remark,built,Id\nRom,3,x,2020-02-01,7\n")
    assert bare.test_targets is None and bare.part("test") is None


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"target": "cost"}, "dataset.target=cost: no such column .have: Id, size"),
        ({"drop": "[cost]"}, "dataset.drop=cost: no such column"),
        ({"categories": "[cost]"}, "dataset.categories=cost: no such column"),
        ({"id": "price"}, "dataset.id=price: it is the column to predict"),
        ({"target": "size"}, "a.csv, line 2: no value of the target size"),
        ({"target": "town", "task": "regression"}, "line 2: Rom is no number"),
        ({"content": TABLE.replace(",3.5", ",1e99")}, "line 3: price: 1e99 is too large"),
        ({"content": TABLE.replace(",3.5", ',"3,5"')}, "price has decimal points .line 2. and commas .line 3."),
        ({"test": "Id,size\n1,2\n"}, "b.csv: no column town"),
        ({"test": "size,town,built,remark,Id\nbig,Rom,2020-01-01,x,1\n"}, "b.csv, line 2: big is no number"),
        ({"test": "size,town,built,remark,Id\n1,Rom,soon,x,1\n"}, "b.csv, line 2: soon is no date"),
        ({"path": "none.csv"}, "none.csv"),
        ({"target": "null"}, "needs dataset.target.*the columns of a.csv are Id, size"),
        ({"content": "a,price\nx,1\nx,2\n", "drop": "[a]"}, "no column to predict price from"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_and_line(load, keys, message):
    with pytest.raises(Refused, match=message):
        load(**keys)


# --- remarks ----------------------------------------------------------------------------------------------------------

SENSIBLE = [("x", [n * n for n in range(15)]), ("y", [n * 3 % 7 for n in range(15)])]


@pytest.mark.parametrize(
    "name, values, remark",
    [
        ("copy", [n * 3 % 7 for n in range(15)], "copy determines y"),
        ("twice", [n * 3 % 7 * 2 + 1 for n in range(15)], "twice determines y"),
        ("letter", ["abcdefg"[n * 3 % 7] for n in range(15)], "letter determines y"),
        ("same", [5] * 15, "constant, so it says nothing: same"),
        ("row", list(range(15)), "only counts the rows, so it is no feature: row"),
        ("other", [n * 5 % 3 for n in range(15)], None),
    ],
)
def test_a_strange_column_is_named(load, name, values, remark):
    columns = [*SENSIBLE, (name, values)]
    rows = [[name for name, _ in columns], *zip(*(values for _, values in columns))]
    lines = [",".join(map(str, row)) for row in rows]
    remarks = load("\n".join(lines), target="y").remarks
    assert len(remarks) == (remark is not None) and all(line.startswith(remark) for line in remarks)


def test_rows_that_occur_twice_are_counted_in_a_file_and_across(load):
    body = ["1,2,7", "1,2,7", "3,4,5", "1,2,7", "8,1,2"]
    data = load("\n".join(["a,b,price", *body]), test="a,b,price\n3,4,5\n9,9,9\n")
    assert any(line.startswith("repeated in a.csv: 2 rows") for line in data.remarks)
    assert any(line == "in both a.csv and b.csv: 1 row" for line in data.remarks)


# --- splits by a column -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, held",
    [
        (["validation.group=town", "validation.k=3"], {"Rom", "Bonn", "Köln"}),
        (["validation.time=built", "validation.k=3"], None),
    ],
)
def test_folds_follow_a_column(load, words, held):
    data = load()
    config = compose(["model=linear", "dataset=csv", "validation=kfold", *words])
    data.check_split(config)
    train, val = data.divide(config.validation, 1)
    towns = data.cells.columns["town"].cells
    if held:
        assert len({towns[row] for row in val}) == 1 and {towns[row] for row in val} & held
    else:
        assert train.max() < val.min()


@pytest.mark.parametrize(
    "words, message",
    [
        (["dataset=csv", "validation.group=who"], "validation.group=who: no such column"),
        (["dataset=csv", "validation.time=town"], "row 1: Rom is no time"),
        (["dataset=csv", "validation.group=town", "validation.time=built"], "split by time or by group"),
        (["dataset=linear", "validation.group=x"], "linear has no columns with names"),
    ],
)
def test_a_column_that_cannot_split_is_refused(load, words, message):
    data = load()
    with pytest.raises(Refused, match=message):
        data.check_split(compose(["model=linear", "validation=kfold", *words]))


def kinds_with(*words):
    """The kinds of the columns of a.csv, as the command line reads them."""
    words = ["model=linear", "dataset=csv", "dataset.path=a.csv", "dataset.target=price", *words]
    return kinds(datasets.load(compose(words).dataset))


@pytest.mark.parametrize("fold", ["validation=kfold", "validation=holdout"])
def test_the_column_of_groups_is_no_feature_and_that_of_time_is_one(load, fold):
    every = kinds(load())
    assert kinds_with(fold, "validation.group=town") == {name: every[name] for name in every if name != "town"}
    assert kinds_with(fold, "validation.time=built") == every
    with pytest.raises(Refused, match=r"validation.group=who: no such column .have: Id, size"):
        kinds_with(fold, "validation.group=who")


def test_the_column_of_groups_is_shown_as_such(load):
    load()
    console = Console(file=io.StringIO(), width=100)
    show_table(console, load(group="town"))
    assert re.search(r"town +group *$", console.file.getvalue(), re.MULTILINE)


def test_a_run_of_an_earlier_version_keeps_its_group_as_a_feature(load):
    load()
    words = ["model=linear", "dataset=csv", "dataset.path=a.csv", "dataset.target=price", "validation=kfold"]
    written = schema.to_dict(compose([*words, "validation.group=town", "validation.k=3"]))
    del written["dataset"]["group"]
    earlier = schema.parse(schema.completed(written))
    assert kinds(datasets.prepared(earlier)) == kinds(load())
