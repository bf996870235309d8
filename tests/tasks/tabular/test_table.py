from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.tabular.encoding import Field
from d2lrun.tasks.tabular.table import TableDataset

FEATURES = torch.arange(14.0).view(7, 2)


def dataset(**changes):
    """Seven training rows whose target is their number, two test rows."""
    made = TableDataset(
        "made", FEATURES, torch.arange(7.0)[:, None], FEATURES[:2], torch.zeros(2, 1), "here", (Field("a"), Field("b"))
    )
    return replace(made, **changes)


def test_a_batch_is_features_and_targets_side_by_side():
    features, targets = dataset().part("train").load(torch.tensor([5, 0]))
    assert features.tolist() == [[10.0, 11.0], [0.0, 1.0]]
    assert targets.tolist() == [[5.0], [0.0]]


def test_a_part_holds_the_rows_of_its_index_only():
    part = dataset().part("train", torch.tensor([1, 4, 6]))
    batches = part.shuffled(2, seed=1, epoch=1)
    assert [len(batch) for batch in batches] == [2, 1] and part.count(batches) == 3
    assert sorted(torch.cat(batches).tolist()) == [1, 4, 6]
    assert torch.cat([batch for (batch,) in part.ordered(2)]).tolist() == [1, 4, 6]


def test_the_order_is_a_function_of_seed_and_epoch():
    part = dataset().part("train")
    orders = [torch.cat(part.shuffled(3, seed, epoch)).tolist() for seed, epoch in ((1, 1), (1, 1), (1, 2), (2, 1))]
    assert orders[0] == orders[1] and orders[0] not in orders[2:]


def test_rows_are_shuffled_as_images_are():
    black = torch.zeros(7, 1, 2, 2, dtype=torch.uint8)
    images = ImageDataset("black", ("a",), black, torch.zeros(7), black, torch.zeros(7), "made")
    both = [torch.cat(data.part("train").shuffled(3, 5, 2)).tolist() for data in (dataset(), images)]
    assert both[0] == both[1]


def test_a_test_set_without_targets_is_no_part():
    assert dataset(test_targets=None).part("test") is None
    assert dataset().part("test").index.tolist() == [0, 1]


def test_what_is_prepared_is_prepared_by_the_rows_that_train():
    asked = []

    def prepare(index):
        asked.append(index.tolist())
        return FEATURES + 100, FEATURES[:2] + 200

    data = dataset(prepare=prepare).fitted(torch.tensor([2, 3]))
    assert asked == [[2, 3]]
    assert torch.equal(data.train_features, FEATURES + 100) and torch.equal(data.test_features, FEATURES[:2] + 200)


def test_what_needs_no_preparation_stays_itself():
    data = dataset()
    assert data.fitted(torch.tensor([1])) is data


def test_a_table_goes_to_a_device_whole():
    data = dataset(test_targets=None).to("meta")
    assert {data.train_features.device.type, data.train_targets.device.type, data.test_features.device.type} == {"meta"}
    assert data.test_targets is None


@pytest.mark.parametrize("count", [1, 3])
def test_the_network_is_given_the_features_and_gives_one_number(count):
    data = dataset(train_features=torch.zeros(7, count))
    assert (data.inputs, data.outputs) == ((count,), 1)
