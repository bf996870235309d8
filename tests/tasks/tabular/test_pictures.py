from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from d2lrun.tasks.tabular.pictures import LEARNED, POINTS, TRUE, draw_agreement, draw_confused, draw_line


def drawn(path, color):
    """How many pixels of the picture are of a colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return (abs(pixels - list(bytes.fromhex(color[1:]))).sum(axis=2) < 20).sum()


def test_points_truth_and_what_was_learned_are_on_the_picture(tmp_path):
    grid = torch.linspace(-1, 1, 50)
    draw_line(tmp_path / "a.png", (torch.tensor([-1.0, 0.0, 1.0]), torch.zeros(3)), grid, grid**2, 1 - grid, "t")
    assert drawn(tmp_path / "a.png", TRUE) > 100 and drawn(tmp_path / "a.png", LEARNED) > 100
    assert drawn(tmp_path / "a.png", POINTS) > 0


@pytest.mark.parametrize("logarithmic", [True, False])
@pytest.mark.parametrize("lowest", [1e4, -1e6])
def test_every_row_is_a_point_whatever_was_predicted(tmp_path, logarithmic, lowest):
    truth = torch.linspace(5e4, 5e5, 200)
    predicted = truth.clone()
    predicted[0] = lowest
    draw_agreement(tmp_path / "a.png", truth, predicted, "price", "t", logarithmic)
    assert drawn(tmp_path / "a.png", LEARNED) > 200 or drawn(tmp_path / "a.png", "#E68A59") > 200


def test_the_confusion_of_classes_is_a_picture(tmp_path):
    draw_confused(tmp_path / "a.png", torch.tensor([[5, 1], [2, 7]]), ("no", "yes"), "t")
    with Image.open(tmp_path / "a.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20
