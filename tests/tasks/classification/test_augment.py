"""The random changes of training images."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from torch.nn import functional as F

from d2lrun.config.compose import compose
from d2lrun.errors import Refused
from d2lrun.tasks.classification import view
from d2lrun.tasks.classification.augment import DRAWN, augmented, beta, coloured, cropped, drawn, erased, moved, tries
from d2lrun.tasks.classification.images import Augmented, ImageDataset
from tests.bits import same_bits

OFF = compose([]).augment
STRONG = compose(["augment=strong"]).augment


def images(count=40, channels=3, side=8):
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def changed(images, settings):
    """The images as an epoch changes them."""
    return augmented(images, settings, drawn(torch.arange(len(images)), settings, seed=1, epoch=0))


def test_nothing_is_changed_when_all_is_off():
    assert torch.equal(changed(images(), OFF), images())


def test_half_of_the_images_are_flipped():
    x = images(400)
    found = changed(x, replace(OFF, flip=True))
    flipped = [torch.equal(one, other.flip(2)) for one, other in zip(found, x, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(found, x, strict=True)]
    assert all(one != other for one, other in zip(flipped, same, strict=True)) and 150 < sum(flipped) < 250


def test_a_crop_is_cut_out_of_the_padded_image():
    x, rows, columns = images(5), torch.tensor([0, 2, 4, 1, 3]), torch.tensor([4, 2, 0, 3, 1])
    padded = F.pad(x, [2] * 4)
    wanted = [image[:, r : r + 8, c : c + 8] for image, r, c in zip(padded, rows, columns, strict=True)]
    assert torch.equal(cropped(x, 2, rows, columns), torch.stack(wanted))


def test_flips_crops_and_shifts_of_whole_pixels_are_copies_with_turns_too():
    """The one interpolation of all four equals copies of the pixels, and then a turn."""
    settings = replace(OFF, flip=True, crop=2)
    numbers = drawn(torch.arange(40), replace(settings, rotate=1e-9), seed=1, epoch=0)
    assert set(numbers) == {"flip", "crop", "rotate"}
    copied, interpolated = (augmented(images(), each, numbers) for each in (settings, replace(settings, rotate=1e-9)))
    torch.testing.assert_close(interpolated, copied, atol=1e-5, rtol=1e-5)


@given(st.sets(st.sampled_from(sorted(DRAWN)), min_size=1))
def test_a_step_draws_the_same_whichever_others_are_on(steps):
    alone = {step: drawn(torch.arange(5), replace(OFF, **{step: 1}), 1, 0)[step] for step in steps}
    together = drawn(torch.arange(5), replace(OFF, **dict.fromkeys(steps, 1)), 1, 0)
    assert same_bits(together, alone) and all(len(together[step]) >= DRAWN[step] for step in steps)


def test_a_quarter_turn_is_exact():
    x = images(2)
    turned = moved(x, torch.zeros(2) > 0, torch.tensor([90.0, 0.0]), torch.zeros(2), torch.zeros(2))
    torch.testing.assert_close(turned[1], x[1])
    assert any(torch.allclose(turned[0], x[0].rot90(turns, (1, 2)), atol=1e-5) for turns in (1, 3))


def test_a_shift_moves_right_and_down():
    x = images(1)
    found = moved(x, torch.zeros(1) > 0, torch.zeros(1), torch.tensor([0.25]), torch.tensor([0.125]))[0]
    torch.testing.assert_close(found[:, 1:, 2:], x[0, :, :-1, :-2])
    assert not found[:, :1].any() and not found[:, :, :2].any()


def test_colours_are_torchvisions():
    from d2lrun.models.vision import torchvision

    adjust = torchvision.transforms.functional
    x, factors = images(4), torch.tensor([0.8, 1.0, 1.2, 0.5])
    wanted = adjust.adjust_saturation(adjust.adjust_contrast(adjust.adjust_brightness(x[:1], 0.8), 0.8), 0.8)
    torch.testing.assert_close(coloured(x, factors, factors, factors)[:1], wanted, rtol=1e-3, atol=1e-3)


def test_an_erased_rectangle_is_one_and_of_its_size():
    x = torch.ones(200, 1, 40, 40)
    numbers = torch.rand(4, 200, generator=torch.Generator().manual_seed(2))
    found = 1 - erased(x, torch.arange(200) % 2 == 0, *numbers)
    assert not found[1::2].any()
    for hole in found[::2, 0]:
        rows, columns = hole.any(dim=1), hole.any(dim=0)
        assert hole.sum() == rows.sum() * columns.sum() and rows.int().diff().abs().sum() <= 2
        assert 0.01 < hole.mean() < 0.38


@pytest.mark.parametrize(("alpha", "wanted"), [(1e-9, 1), (0.2, 4), (0.5, 8), (1.0, 16)])
def test_so_many_pairs_are_drawn_that_one_is_right(alpha, wanted):
    """With alpha=1 each pair is right with probability 1/2, with 0.5 with π/4, and with 0 always."""
    assert tries(alpha) == wanted


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
def test_a_share_has_the_moments_of_the_beta_distribution(alpha):
    numbers = drawn(torch.arange(20_000), replace(OFF, mixup=alpha), seed=1, epoch=0)["mixup"]
    found = beta(numbers[1:], alpha).double().numpy()
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    wanted = np.quantile(np.random.default_rng(1).beta(alpha, alpha, 200_000), [0.1, 0.3, 0.7, 0.9])
    np.testing.assert_allclose(np.quantile(found, [0.1, 0.3, 0.7, 0.9]), wanted, atol=0.02)


def dataset(augment=STRONG, **changes):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (30, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(30) % 3
    return ImageDataset("mine", ("a", "b", "c"), pixels, labels, pixels[:6], labels[:6], "here", **changes), augment


def part(augment=STRONG, **changes):
    data, augment = dataset(augment, **changes)
    return replace(data, augment=augment).part("train")


def test_an_example_is_changed_alike_in_every_batch():
    """A resumed run, other batches and another device see the same images."""
    subset = part()
    found = {}
    for size in (30, 7):
        for batch in subset.shuffled(size, seed=3, epoch=2):
            inputs, labels = subset.load(batch)
            for place, one, label in zip(batch.index.tolist(), inputs, labels, strict=True):
                found.setdefault(place, []).append((one, label))
    assert all(same_bits({"x": one[0], "y": one[1]}, {"x": other[0], "y": other[1]}) for one, other in found.values())


def test_epochs_differ_and_an_evaluation_changes_nothing():
    subset = part()
    first, second = (subset.load(subset.shuffled(30, 1, epoch)[0])[0] for epoch in (0, 1))
    assert not torch.equal(first, second)
    [[batch]] = subset.ordered(30)
    assert torch.equal(subset.load(batch)[0], subset.data.prepared(subset.images))


def test_a_mixed_image_has_the_classes_of_both():
    mixup = replace(OFF, name="flip", mixup=1.0)
    subset = part(mixup)
    batch = subset.shuffled(30, 1, 0)[0]
    inputs, labels = subset.load(batch)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(30))
    plain = subset.data.preparation.scaled(subset.images)
    for x, share, own in zip(inputs, labels, batch.index.tolist(), strict=True):
        weight = share[own % 3]
        others = [torch.lerp(other, plain[own], weight) for other in plain]
        assert weight > 0.999 or share.max() == 1 or any(torch.allclose(x, other, atol=1e-4) for other in others)


@pytest.mark.parametrize("key", [key for key in asdict(OFF) if key != "name"])
def test_every_key_changes_images(key):
    value = {"flip": True, "crop": 2}.get(key, 0.5)
    subset, plain = part(replace(OFF, name="flip", **{key: value})), part(None)
    batch = subset.shuffled(30, 1, 0)[0]
    assert not torch.equal(subset.load(batch)[0], plain.load(batch.index)[0])


@pytest.mark.parametrize("words", [["augment=flip"], ["augment.flip=true"], ["augment.mixup=0.2"]])
def test_what_is_set_is_used_whatever_option_it_is_set_in(words):
    assert dataset()[0].fit(compose(words)).augment == compose(words).augment


def test_nothing_that_is_set_is_no_augmentation():
    assert dataset()[0].fit(compose([])).augment is None


def test_pixels_get_mean_0_and_variance_1_of_what_trains():
    data, _ = dataset(normalise="standard")
    index = torch.tensor([4, 9, 11, 20])
    fitted = data.fitted(index)
    inputs = fitted.prepared(data.train_images[index]).double()
    torch.testing.assert_close(inputs.mean(dim=(0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(dim=(0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-5, rtol=0)
    assert data.fitted(torch.tensor([4])).statistics != fitted.statistics


def test_imagenets_statistics_are_torchvisions():
    x = (
        dataset(normalise="imagenet")[0]
        .fitted(torch.arange(3))
        .prepared(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8))
    )
    assert x[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])


@pytest.mark.parametrize(("crop", "fits"), [(7, True), (8, False)])
def test_a_crop_that_may_show_padding_alone_is_refused(crop, fits):
    with nullcontext() if fits else pytest.raises(Refused, match="images of 8×8 would show only padding"):
        dataset()[0].fit(compose([f"augment.crop={crop}"]))


def test_grey_images_cannot_have_the_statistics_of_colours():
    grey = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    data = ImageDataset("mine", ("a", "b"), grey, torch.zeros(3).long(), grey, torch.zeros(3).long(), "here")
    with pytest.raises(Refused) as caught:
        replace(data, normalise="imagenet").fitted(torch.arange(3))
    assert "dataset.colours=3 for a folder" in caught.value.hint


def test_what_data_draws_is_what_trains_first():
    data = replace(dataset()[0].augmented_by(STRONG), normalise="standard").fitted(torch.arange(30))
    index = torch.tensor([3, 17, 4])
    plain = replace(data, statistics=None).part("train")
    trains = plain.load(Augmented(index, 0, 0, STRONG))[0]
    drawn = data.part("train").augmented_pixels(index)
    assert drawn.dtype == torch.uint8 and (drawn.float() / 255 - trains).abs().max() <= 0.5 / 255 + 1e-6


def test_data_draws_augmented_images_if_there_is_an_augmentation(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    for settings, is_drawn in ((OFF, False), (STRONG, True)):
        view.show(console, dataset()[0].augmented_by(settings), tmp_path / "a.png")
        assert (tmp_path / "a-augmented.png").exists() == is_drawn
    assert "a-augmented.png" in console.file.getvalue()
