from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
import torch

from d2lrun.datasets import house_prices
from d2lrun.datasets.house_prices import TEST, TRAIN
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

COLUMNS = "Id,Area,Rooms,Street,Veneer"
TRAIN_ROWS = ["1,10,2,Pave,None,100", "2,20,NA,Grvl,NA,200", "3,40,2,Pave,Brick,300", "4,80,2,Dirt,None,400"]
TEST_ROWS = ["5,100,3,Pave,Stone", "6,NA,2,NA,None"]
# In the order of the features: two numbers, three streets and their absence, three veneers and theirs.
AREA, ROOMS, DIRT, GRVL, PAVE, NO_STREET, BRICK, NONE, STONE, NO_VENEER = range(10)


def table(header, rows):
    return "\n".join([header, *rows, ""]).encode()


CONTENTS = {TRAIN: table(f"{COLUMNS},SalePrice", TRAIN_ROWS), TEST: table(COLUMNS, TEST_ROWS)}


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine on which the files are nowhere."""
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    return tmp_path


@pytest.fixture
def load(nowhere):
    """``load(FIT)``: the dataset of six houses; with other contents in place of theirs."""

    def load(fit="train", names=(TRAIN, TEST), folder="given", **contents):
        given = {TRAIN: contents.get("train", CONTENTS[TRAIN]), TEST: contents.get("test", CONTENTS[TEST])}
        (nowhere / folder).mkdir(parents=True)
        for name, content in zip(names, given.values(), strict=True):
            (nowhere / folder / name).write_bytes(content)
        files = replace(house_prices.FILES, sums={name: sha256(content) for name, content in given.items()})
        return house_prices.load(str(nowhere / "given"), fit, [], files=files)

    return load


@pytest.mark.parametrize("names", [(TRAIN, TEST), ("train.csv", "test.csv")])
@pytest.mark.parametrize("folder", ["given", "given/house-prices", f"given/{house_prices.FILES.layouts[0]}"])
def test_it_is_found_under_both_names_in_every_folder(load, names, folder):
    data = load(names=names, folder=folder)
    assert data.train_targets.tolist() == [[100.0], [200.0], [300.0], [400.0]]
    assert data.test_targets is None and data.test_ids == ("5", "6")


def test_the_refusal_offline_names_the_ways_out(nowhere):
    with pytest.raises(Refused) as caught:
        house_prices.load(None, "train", [])
    assert f"no good {TRAIN}, {TEST}; tried" in str(caught.value)
    for way in ("repeat the command", "dataset.dir=FOLDER", "D2LRUN_DATA=FOLDER", "dataset=linear"):
        assert way in caught.value.hint


def test_each_category_and_its_absence_is_a_feature_and_none_is_a_category(load):
    data = load("all")
    assert data.inputs == (10,)
    assert data.train_features[:, DIRT:].tolist() == [
        [0, 0, 1, 0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0, 0, 0, 1],
        [0, 0, 1, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0, 1, 0, 0],
    ]
    assert data.test_features[:, DIRT:].tolist() == [[0, 0, 1, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 1, 0, 0]]


@pytest.mark.parametrize("fit, known", [("all", [10, 20, 40, 80, 100]), ("train", [10, 20, 40, 80])])
def test_numbers_are_standardised_by_the_rows_of_the_fit(load, fit, known):
    data = load(fit)
    mean, deviation = statistics.mean(known), statistics.stdev(known)
    wanted = [(value - mean) / deviation for value in (10, 20, 40, 80, 100)]
    found = torch.cat((data.train_features, data.test_features))[:, AREA]
    assert found[:5].tolist() == pytest.approx(wanted, rel=1e-6)
    assert found[5] == 0  # missing: as the mean


def test_what_is_held_out_has_no_say_in_the_features_of_the_rest(load):
    """Another area and a street of its own in the row held out change nothing in the features of the others."""
    index = torch.tensor([0, 1, 2])
    data = load().fitted(index)
    assert data.train_features[:3, AREA].tolist() == pytest.approx(
        [(value - 70 / 3) / statistics.stdev([10, 20, 40]) for value in (10, 20, 40)], rel=1e-6
    )
    assert data.inputs == (10,)
    assert data.train_features[3, DIRT:NO_STREET].tolist() == [0, 0, 0]  # no row that trains has its street
    assert data.test_features[0, STONE] == 0
    assert data.test_features[0, PAVE] == 1


def test_with_all_the_rows_that_train_do_not_matter(load):
    data = load("all")
    assert data.fitted(torch.tensor([0])) is data


@pytest.mark.parametrize("index", [[0, 2], [1], [0, 1, 2, 3]])
def test_what_is_constant_or_unknown_in_training_is_nothing(load, index):
    """Two rooms everywhere, or in no row that trains a number of rooms."""
    data = load().fitted(torch.tensor(index))
    assert data.train_features[:, ROOMS].tolist() == [0.0] * 4 and data.test_features[:, ROOMS].tolist() == [0.0] * 2
    assert data.train_features.isfinite().all() and data.test_features.isfinite().all()


def test_the_fields_are_counted(load):
    fields = {field.name: field for field in load().fields}
    assert list(fields) == ["Area", "Rooms", "Street", "Veneer"]
    assert [len(field.values) for field in fields.values()] == [0, 0, 3, 3]
    assert [field.missing for field in fields.values()] == [1, 1, 1, 1]
    assert sum(field.width for field in fields.values()) == 10


@pytest.mark.parametrize(
    "train",
    [
        table(COLUMNS, [row.rpartition(",")[0] for row in TRAIN_ROWS]),  # no price
        table(f"{COLUMNS},SalePrice", [TRAIN_ROWS[0], "2,20,NA,Grvl,NA,NA"]),
        table(f"{COLUMNS},SalePrice", [TRAIN_ROWS[0], "2,20"]),
        table(f"{COLUMNS},SalePrice", [TRAIN_ROWS[0] + ",1"]),
        table(f"{COLUMNS},SalePrice", []),
        table(f"{COLUMNS},Pool,SalePrice", [row.replace(",100", ",1,100") for row in TRAIN_ROWS[:1]]),
    ],
)
def test_what_is_not_of_this_form_is_refused(load, train):
    with pytest.raises(Refused, match="kaggle_house_pred_train"):
        load(train=train)


# --- the real files, where the user has them ---------------------------------------------------------------------


@pytest.fixture
def real(users_environment):
    def load(fit):
        return house_prices.load(None, fit, [])

    try:
        load("train")
    except Refused:
        pytest.skip("the files are not on this machine; `d2lrun data dataset=house-prices` fetches them")
    return load


@pytest.mark.parametrize("fit", ["train", "all"])
def test_the_features_are_as_many_as_the_books(real, fit):
    data = real(fit)
    assert (data.train_features.shape, data.test_features.shape) == ((1460, 331), (1459, 331))
    assert data.train_targets[:4, 0].tolist() == [208500, 181500, 223500, 140000]
    assert data.test_ids[0] == "1461" and len(data.test_ids) == 1459
    assert sum(field.kind == "number" for field in data.fields) == 36 and len(data.fields) == 79
    assert data.fitted(torch.arange(292, 1460)).inputs == (331,)


def test_jointly_standardised_numbers_have_the_mean_0_and_the_deviation_1(real):
    data = real("all")
    both = torch.cat((data.train_features, data.test_features)).double()
    lot = both[:, [place for place, field in enumerate(data.fields) if field.name == "LotArea"]]
    assert abs(lot.mean().item()) < 1e-6 and lot.std().item() == pytest.approx(1, rel=1e-6)
