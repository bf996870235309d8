import numpy as np
import pytest
import torch
from PIL import Image

from d2lrun.tasks.classification import pictures
from d2lrun.tasks.classification.pictures import (
    ACROSS,
    EDGE,
    HEADING,
    MARGIN,
    PITCH,
    RED,
    ROW,
    TILE,
    draw_predictions,
    draw_samples,
    fit_tile,
)

CLASSES = ("T-shirt/top", "Trouser", "a class with a name that is very long")
FRAME = list(bytes.fromhex(RED[1:]))


def read(path):
    """A picture's pixels uint8 [H, W, 3]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def predictions(path, right, confidence=None, shape=(1, 28, 28)):
    """Draw mid-grey images of class 0; image n is taken for class 0 where ``right[n]``, else for class 2."""
    count = len(right)
    predicted = torch.where(torch.tensor(right), 0, 2)
    confidence = torch.full((count,), 0.9) if confidence is None else confidence
    probabilities = torch.zeros(count, 3).scatter(1, predicted[:, None], confidence[:, None])
    images = torch.full((count, *shape), 128, dtype=torch.uint8)
    images += torch.arange(count, dtype=torch.uint8)[:, None, None, None]  # image n has the value 128 + n
    draw_predictions(path, images, torch.zeros(count, dtype=torch.int64), probabilities, CLASSES)
    return read(path)


def tile(place, top=MARGIN):
    """(y, x) of an image's corner: ``place`` counts along the rows of the half that begins at ``top``."""
    return top + HEADING + place // ACROSS * ROW, MARGIN + place % ACROSS * PITCH


def is_framed(pixels, y, x):
    return pixels[y - EDGE // 2, x + TILE // 2].tolist() == FRAME


@pytest.mark.parametrize("count", [20, 25, 100])
def test_images_are_from_all_of_the_set_pixel_for_pixel(tmp_path, count):
    pixels = predictions(tmp_path / "p.png", [True] * count)
    shown = [pixels[y : y + TILE, x : x + TILE] for y, x in map(tile, range(20))]
    assert all((each == each[0, 0]).all() for each in shown)
    assert [int(each[0, 0, 0]) - 128 for each in shown] == [place * count // 20 for place in range(20)]


def test_only_wrong_images_have_a_red_frame(tmp_path):
    right = [n % 3 != 0 for n in range(20)]
    pixels = predictions(tmp_path / "p.png", right)
    assert [not is_framed(pixels, *tile(place)) for place in range(20)] == right


def test_below_are_the_most_confident_errors_by_confidence(tmp_path):
    confidence = torch.linspace(0.5, 0.99, 30)
    pixels = predictions(tmp_path / "p.png", [False] * 30, confidence)
    half = MARGIN + HEADING + 2 * ROW
    for place in range(20):
        y, x = tile(place, half)
        assert pixels[y + TILE // 2, x + TILE // 2].tolist() == [128 + 29 - place] * 3


def test_wrong_and_right_differ_in_their_sign_too(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(pictures.Sheet, "write", lambda self, y, x, text, **style: written.append(text))
    predictions(tmp_path / "p.png", [True, False])
    assert "✓ T-shirt/top 0.90" in written and "✗ a class wit… 0.90" in written


@pytest.mark.parametrize("right", [[True], [False], [True] * 3, [False] * 11])
def test_few_images_make_a_smaller_sheet(tmp_path, right):
    height = predictions(tmp_path / "p.png", right).shape[0]
    rows = -(-len(right) // ACROSS)
    assert height == MARGIN + 2 * HEADING + rows * ROW * (1 if all(right) else 2)


@pytest.mark.parametrize(
    "shape, fitted",
    [
        ((3, 32, 32), (112, 112)),
        ((1, 96, 96), (112, 112)),
        ((3, 224, 448), (56, 112)),
        ((3, 40, 20), (112, 56)),
        ((1, 1, 1), (112, 112)),
    ],
)
def test_images_of_any_shape_fit_the_tile(tmp_path, shape, fitted):
    assert fit_tile(torch.zeros(shape, dtype=torch.uint8)).shape == (*fitted, 3)
    pixels = predictions(tmp_path / "p.png", [False], shape=shape)
    y, x = tile(0)
    assert pixels[y + TILE // 2, x + TILE // 2].tolist() == [128] * 3


def test_colours_are_kept():
    image = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(3, 28, 28)
    assert (fit_tile(image) == [10, 20, 30]).all()


def test_probabilities_that_are_no_numbers_are_drawn(tmp_path):
    predictions(tmp_path / "p.png", [True, False], torch.tensor([float("nan"), float("nan")]))


def test_samples_have_a_row_per_class(tmp_path):
    labels = torch.tensor([2, 0, 1] * 15)
    images = (labels * 50 + 100).to(torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28)
    draw_samples(tmp_path / "s.png", images, labels, CLASSES)
    pixels = read(tmp_path / "s.png")[..., 0]
    for k in range(3):
        row = pixels[MARGIN + k * (TILE + 12) + TILE // 2]
        assert (row == 100 + 50 * k).sum() == ACROSS * TILE


def test_a_class_without_examples_keeps_its_row(tmp_path):
    images, labels = torch.zeros(1, 1, 28, 28, dtype=torch.uint8), torch.tensor([2])
    draw_samples(tmp_path / "s.png", images, labels, CLASSES)
    assert read(tmp_path / "s.png").shape[0] == 2 * MARGIN + 3 * (TILE + 12)


def test_hundred_classes_stay_one_page(tmp_path):
    images, labels = torch.zeros(100, 3, 32, 32, dtype=torch.uint8), torch.arange(100)
    draw_samples(tmp_path / "s.png", images, labels, [f"class {k}" for k in range(100)])
    assert read(tmp_path / "s.png").shape[0] < 2600


def test_the_words_of_a_sheet_are_where_they_were_written(tmp_path, monkeypatch):
    """Height and width are in pixels from the upper left corner; matplotlib counts from the lower left one."""
    figures = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: figures.append(figure))
    sheet = pictures.Sheet(200, 400)
    sheet.write(50, 100, "here", size=12)
    sheet.save(tmp_path / "a.png")
    [word] = figures[0].texts
    assert word.get_position() == (0.25, 0.75) and word.get_text() == "here"
    assert word.get_fontsize() == pytest.approx(12 * 72 / pictures.DPI)
