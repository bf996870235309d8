from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from d2lrun import datasets
from d2lrun.config.compose import compose
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.classification.preparation import resized, scale


def test_scale_divides_each_byte_by_255_in_float32():
    every = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    expected = np.arange(256).astype(np.float32) / np.float32(255)
    scaled = scale(every)
    assert scaled.shape == every.shape
    assert scaled.dtype == torch.float32
    assert scaled.flatten().tolist() == expected.tolist()


def test_scale_leaves_the_stored_bytes_alone():
    stored = torch.full((1, 1, 2, 2), 200, dtype=torch.uint8)
    scale(stored)
    assert stored.unique().tolist() == [200]


def dataset() -> ImageDataset:
    images, labels = torch.zeros(5, 3, 4, 6, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)
    return ImageDataset("d", ("a", "b"), images, labels, images[:2], labels[:2], "here")


def test_shapes_come_from_the_images():
    assert dataset().inputs == (3, 4, 6)
    assert dataset().outputs == 2


def test_to_moves_every_tensor():
    moved = dataset().to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 4
    assert moved.source == "here"


def small_dataset(**form) -> ImageDataset:
    """Five images of 4 × 6 in one channel."""
    images, labels = torch.arange(5 * 24).reshape(5, 1, 4, 6).to(torch.uint8), torch.arange(5) % 2
    return ImageDataset("d", ("a", "b"), images, labels, images[:2], labels[:2], "here", **form)


@pytest.fixture
def pictures(users_environment):
    """100 test images of the real Fashion-MNIST, uint8 [100, 1, 28, 28], which ``make data`` provides."""
    return datasets.load(compose(["dataset.mirrors=[]"]).dataset).test_images[:100]


def by_pil(images, width, height):
    """The resize that the book's transforms make of a PIL image, as float64 0…1 [B, H, W]."""
    small = (Image.fromarray(image[0].numpy()).resize((width, height), Image.Resampling.BILINEAR) for image in images)
    return torch.from_numpy(np.stack([np.asarray(image) for image in small]).astype(np.float64) / 255)


@pytest.mark.parametrize("side", [96, 224, 29, 27, 20, 14, 7, 1])
def test_a_resize_is_that_of_pil_within_one_grey_level(pictures, side):
    ours = resized(scale(pictures), side)
    assert ours.shape == (100, 1, side, side)
    assert (ours[:, 0] - by_pil(pictures, side, side)).abs().max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("height, width", [(28, 10), (10, 28), (28, 27), (20, 12)])
def test_where_one_side_grows_and_the_other_shrinks_it_is_pils_too(pictures, height, width):
    images = pictures[:, :, :height, :width].contiguous()
    ours = resized(scale(images), 16)
    assert (ours[:, 0] - by_pil(images, 16, 16)).abs().max() <= 1 / 255 + 1e-6


def test_at_its_own_size_an_image_keeps_its_bits(pictures):
    assert torch.equal(resized(scale(pictures), 28), scale(pictures))


def test_three_channels_are_the_grey_one_three_times():
    grey, colour = small_dataset(), small_dataset(channels=3)
    seen = colour.prepared(colour.train_images)
    assert (grey.inputs, colour.inputs) == ((1, 4, 6), (3, 4, 6))
    assert seen.shape == (5, 3, 4, 6)
    assert all(torch.equal(seen[:, channel], grey.prepared(grey.train_images)[:, 0]) for channel in range(3))


@pytest.mark.parametrize("form", [{}, {"resize": 9}, {"channels": 3}, {"resize": 3, "channels": 3}, {"channels": 1}])
def test_inputs_have_the_shape_that_the_network_is_told(form):
    data = small_dataset(**form)
    seen = data.prepared(data.test_images)
    assert seen.shape[1:] == data.inputs
    assert seen.dtype == torch.float32
    assert seen.min() >= 0 and seen.max() <= 1


def test_the_stored_bytes_are_not_resized():
    data = small_dataset(resize=9, channels=3)
    before = data.train_images.clone()
    data.prepared(data.train_images)
    assert torch.equal(data.train_images, before)


def test_batches_are_the_examples_in_their_order():
    data = small_dataset(resize=9)
    part = data.part("train")
    found = [part.load(batch) for (batch,) in part.ordered(2)]
    assert [len(inputs) for inputs, _ in found] == [2, 2, 1]
    assert torch.equal(torch.cat([inputs for inputs, _ in found]), data.prepared(data.train_images))
    assert torch.cat([labels for _, labels in found]).tolist() == data.train_labels.tolist()


@pytest.mark.parametrize("limit, counts", [(1, [2]), (2, [2, 2]), (9, [2, 2, 1])])
def test_the_first_batches_hold_the_first_examples(limit, counts):
    data = small_dataset()
    part = data.part("train").limited(limit, 2)
    batches = [batch for (batch,) in part.ordered(2)]
    assert (part.size, part.of) == (sum(counts), 5)
    found = [part.load(batch) for batch in batches]
    assert [len(labels) for _, labels in found] == counts
    assert part.count(batches) == sum(counts)
    assert torch.cat([labels for _, labels in found]).tolist() == data.train_labels.tolist()[: sum(counts)]


def test_a_part_holds_its_examples_and_no_others():
    data, chosen = small_dataset(), torch.tensor([4, 1, 2])
    part = data.part("train", chosen)
    inputs, labels = part.load(torch.cat([batch for (batch,) in part.ordered(2)]))
    assert torch.equal(inputs, data.prepared(data.train_images[chosen]))
    assert torch.equal(labels, data.train_labels[chosen])
    assert sorted(torch.cat(part.shuffled(2, seed=3, epoch=5)).tolist()) == [1, 2, 4]


def test_the_parts_are_those_of_training_and_of_testing():
    data = small_dataset()
    assert data.part("train").images is data.train_images and data.part("test").labels is data.test_labels
    assert data.part("test").index.tolist() == [0, 1]


def configured(folder, *overrides):
    return compose(["dataset.verify=false", f"dataset.dir={folder}", *overrides]).dataset


def test_a_dataset_is_read_once_whatever_size_its_images_are_given(stripes_folder):
    asked = ([], ["dataset.resize=96"], ["dataset.resize=14", "dataset.channels=3"], ["dataset.resize=null"])
    found = [datasets.load(configured(stripes_folder, *overrides)) for overrides in asked]
    assert len({data.train_images.data_ptr() for data in found}) == 1
    assert [data.inputs for data in found] == [(1, 28, 28), (1, 96, 96), (3, 14, 14), (1, 28, 28)]


def test_another_folder_is_read_anew(stripes_folder, tmp_path):
    for path in stripes_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    one, other = (datasets.load(configured(folder)) for folder in (stripes_folder, tmp_path))
    assert (one.source, other.source) == (str(stripes_folder), str(tmp_path))
    assert one.train_images.data_ptr() != other.train_images.data_ptr()


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    "overrides, shape",
    [
        ([], (1, 28, 28)),
        (["dataset.resize=96"], (1, 96, 96)),
        (["dataset.channels=3"], (3, 28, 28)),
        (["dataset.resize=32", "dataset.channels=3"], (3, 32, 32)),
    ],
)
def test_the_form_is_that_of_the_inputs(stripes_folder, verify, overrides, shape):
    """With ``verify`` it is known without a file; without, the files may hold anything."""
    places = ["dataset.dir=/nowhere"] if verify else ["dataset.verify=false", f"dataset.dir={stripes_folder}"]
    assert datasets.form(compose(["dataset.mirrors=[]", *places, *overrides])) == (shape, 10)
