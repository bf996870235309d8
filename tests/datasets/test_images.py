from __future__ import annotations

import numpy as np
import torch

from d2lrun.datasets.images import ImageDataset, scale


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
    assert dataset().image_shape == (3, 4, 6)
    assert dataset().num_classes == 2


def test_to_moves_every_tensor():
    moved = dataset().to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 4
    assert moved.source == "here"
