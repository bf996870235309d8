"""Images of the user's own, with any number of classes: from the command line to the table of mistakes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from d2lrun.datasets.fashion_mnist import FILES
from d2lrun.tasks.classification.pictures import draw_predictions


@pytest.fixture(params=[2, 26, 256])
def own(request, tmp_path):
    """A folder "letters" with four IDX files, and the number of its classes."""
    rng, folder, classes = np.random.default_rng(0), tmp_path / "letters", request.param
    folder.mkdir()
    for name in FILES.sums:
        count = 300 if name.startswith("train") else 280
        shape = (count, 4, 4) if "images" in name else (count,)
        values = rng.integers(0, 256, shape) if "images" in name else np.arange(count) % classes
        header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
        (folder / name).write_bytes(header + values.astype(np.uint8).tobytes())
    return folder, classes


def test_own_classes_are_numbers_and_the_run_lies_under_the_folders_name(d2lrun, own, tmp_path):
    folder, classes = own
    words = ("model=softmax", "dataset.verify=false", f"dataset.dir={folder}", "train.epochs=1", "device=cpu")
    done = d2lrun(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("softmax on letters, ")
    (run,) = (tmp_path / "outputs" / "runs").glob("letters/softmax/*")
    result = json.loads((run / "result.json").read_text("utf-8"))
    assert (result["dataset"], result["parameters"]) == ("letters", 17 * classes)
    assert result["book"]["inside"] is None
    predicted = d2lrun("predict", run)
    assert (predicted.code, predicted.err) == (0, "")
    assert "t-shirt" not in predicted.out
    with open(run / "predictions.csv", encoding="utf-8", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == set(map(str, range(classes)))


def test_a_dataset_of_ones_own_is_shown_by_its_folders_name(d2lrun, own, tmp_path):
    folder, classes = own
    shown = d2lrun("data", "dataset.verify=false", f"dataset.dir={folder}")
    assert (shown.code, shown.err) == (0, "")
    assert f"letters: {classes} classes" in shown.out
    assert (tmp_path / "outputs" / "data" / "letters.png").exists()


@pytest.mark.parametrize("classes", [2, 26, 256])
def test_predictions_are_drawn_for_any_number_of_classes(tmp_path, classes):
    images, labels = torch.zeros(300, 1, 4, 4, dtype=torch.uint8), torch.arange(300) % classes
    names = tuple(map(str, range(classes)))
    draw_predictions(tmp_path / "p.png", images, labels, torch.rand(300, classes).softmax(1), names)
    assert (tmp_path / "p.png").stat().st_size > 1000
