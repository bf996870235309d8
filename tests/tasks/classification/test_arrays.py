"""Arrays of pixels in the shapes and types that people have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from d2lrun.errors import Refused
from d2lrun.tasks.classification.arrays import as_pixels

PIXELS = torch.randint(256, (3, 1, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
COLOURS = torch.randint(256, (3, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("wanted", [PIXELS, COLOURS])
def test_every_form_of_the_same_images_is_the_same(wanted):
    last = wanted.permute(0, 2, 3, 1)  # [n, H, W, C]
    forms = [wanted, wanted.numpy(), list(wanted), list(wanted.numpy()), last, last.numpy(), list(last)]
    forms += [wanted.int(), wanted.numpy().astype(np.int64), wanted / 255, (wanted / 255).double().numpy()]
    forms += [wanted.numpy().astype(np.uint16), wanted.numpy()[:, :, ::-1].copy()[:, :, ::-1]]
    forms += [wanted[:, 0], wanted[:, 0].tolist()] if wanted.shape[1] == 1 else []
    for form in forms:
        found = as_pixels(form)
        assert found.dtype == torch.uint8 and torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3), "an array of the shape"),
        (torch.zeros(2, 5, 6, 7), "an array of the shape"),
        (torch.zeros(2, 3, 0, 4), "an array of the shape"),
        ([torch.zeros(2, 3), torch.zeros(3, 2)], "no array"),
        (["a.png"], "no array of pixels"),
        (torch.zeros(2, 3, 3, dtype=torch.complex64), "no array of pixels"),
        (torch.full((2, 3, 3), 1.01), "pixels from 1.01 to 1.01, wanted 0 to 1"),
        (torch.full((2, 3, 3), 256), "pixels from 256 to 256, wanted 0 to 255"),
        (torch.full((2, 3, 3), float("nan")), "pixels from nan to nan"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(Refused, match=message):
        as_pixels(images)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.int64, np.float16, np.float64])
def test_black_and_white_are_what_they_are_in_every_type(kind):
    white = 1 if kind is bool or np.dtype(kind).kind == "f" else min(255, np.iinfo(kind).max)
    found = as_pixels(np.array([[[0, white]]], dtype=kind))
    assert found.tolist() == [[[[0, 127 if kind is np.int8 else 255]]]]


def test_no_image_is_no_image():
    assert as_pixels(torch.zeros(0, 3, 4, 5)).shape == (0, 3, 4, 5)
