"""A finished run at work: measured again, and asked about pictures of every kind."""

from __future__ import annotations

import csv
import struct
import warnings
import zlib

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.runs import inference
from d2lrun.tasks.classification import photos
from tests.asked import predict_files, predict_test


@pytest.fixture(scope="module")
def model(stripes):
    """A linear network that tells the stripes apart, but is not perfect: one step of full-batch descent."""
    torch.manual_seed(0)
    model = models.build(compose(["model=softmax"]).model, stripes.inputs, stripes.outputs)
    loss = torch.nn.functional.cross_entropy(model(stripes.train_images / 255), stripes.train_labels)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.03 * parameter.grad
    return model.eval().requires_grad_(False)


@pytest.fixture
def run(tmp_path, model, stripes_folder):
    """The directory of its finished run."""
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    overrides = ["model=softmax", "device=cpu", "dataset.verify=false", f"dataset.dir={stripes_folder}"]
    directory.write_config(compose([*overrides, "train.batch_size=30"]))
    safetensors.torch.save_file(model.state_dict(), directory.weights_file)
    return directory


@pytest.fixture
def expected(model, stripes):
    """The probabilities of the test images [N, K]."""
    return model(stripes.test_images / 255).softmax(dim=1)


def picture(stripes, at=0):
    return Image.fromarray(stripes.test_images[at, 0].numpy())


def ask(run, *paths, top=10, invert="auto"):
    """{class: probability} for each file."""
    return [dict(best) for _, _, best in predict_files(run, list(paths), top, invert)]


def test_evaluate_is_the_loss_of_the_test_set(run, model, stripes):
    logits = model(stripes.test_images / 255).double()
    wanted = {
        "test_loss": torch.nn.functional.cross_entropy(logits, stripes.test_labels).item(),
        "test_accuracy": (logits.argmax(dim=1) == stripes.test_labels).double().mean().item(),
    }
    assert inference.evaluate_run(run) == pytest.approx(wanted, abs=1e-6)
    assert wanted["test_accuracy"] not in (0, 1)


def test_the_confusion_counts_true_by_predicted(run, expected, stripes):
    confusion, _ = predict_test(run)
    wanted = np.zeros((10, 10), dtype=int)
    for label, row in zip(stripes.test_labels.tolist(), expected, strict=True):
        wanted[label, row.argmax()] += 1
    assert confusion.tolist() == wanted.tolist()


def test_every_prediction_is_in_the_file(run, expected, stripes):
    _, path = predict_test(run)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [str(index) for index in range(101)]
    assert [row["label"] for row in rows] == [str(label) for label in stripes.test_labels.tolist()]
    assert [row["predicted"] for row in rows] == [str(row.argmax().item()) for row in expected]
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected.amax(dim=1).tolist(), abs=2e-6)


def test_a_file_is_predicted_as_on_the_dataset(run, expected, stripes, tmp_path):
    paths = [tmp_path / f"{at}.png" for at in range(5)]
    for at, path in enumerate(paths):
        picture(stripes, at).save(path)
    for row, found in zip(expected[:5], ask(run, *paths), strict=True):
        assert found == pytest.approx(dict(zip("0123456789", row.tolist())), abs=1e-6)


def test_the_likeliest_come_first(run, stripes, tmp_path):
    picture(stripes).save(tmp_path / "a.png")
    ((path, remark, best),) = predict_files(run, [tmp_path / "a.png"], 3, "auto")
    assert (path, remark) == (tmp_path / "a.png", "")
    assert len(best) == 3
    assert [p for _, p in best] == sorted((p for _, p in best), reverse=True)


def test_more_than_all_classes_are_all_classes(run, stripes, tmp_path):
    picture(stripes).save(tmp_path / "a.png")
    (found,) = ask(run, tmp_path / "a.png", top=99)
    assert len(found) == 10


KINDS = {
    "grey.png": lambda image: image,
    "colour.png": lambda image: image.convert("RGB"),
    "opaque.png": lambda image: image.convert("RGBA"),
    "grey-alpha.png": lambda image: image.convert("LA"),
    "palette.png": lambda image: image.convert("P"),
    "16-bit.png": lambda image: Image.fromarray(np.asarray(image).astype(np.uint16) * 257),
    "16-bit.tiff": lambda image: Image.fromarray(np.asarray(image).astype(np.uint16) * 257),
    "32-bit.tiff": lambda image: Image.fromarray(np.asarray(image).astype(np.int32) * 257),
    "bitmap.bmp": lambda image: image,
    "lossless.webp": lambda image: image.convert("RGB"),
}


SCALED = {  # from grey 0…255 to what a file holds
    "16 bits": ("a.png", lambda grey: (grey * 257).astype(np.uint16)),
    "12 bits in 16": ("a.png", lambda grey: (grey * (4095 / 255)).round().astype(np.uint16)),
    "8 bits in 16": ("a.png", lambda grey: grey.astype(np.uint16)),
    "16 bits as TIFF": ("a.tiff", lambda grey: (grey * 257).astype(np.uint16)),
    "12 bits in 16, high byte first": ("a.tiff", lambda grey: (grey * (4095 / 255)).round().astype(">u2")),
    "8 bits in 32": ("a.tiff", lambda grey: grey.astype(np.int32)),
    "16 bits in 32": ("a.tiff", lambda grey: (grey * 257).astype(np.int32)),
    "24 bits in 32": ("a.tiff", lambda grey: (grey * ((2**24 - 1) / 255)).astype(np.int32)),
    "floats 0…1": ("a.tiff", lambda grey: (grey / 255).astype(np.float32)),
    "floats −1…1": ("a.tiff", lambda grey: (grey / 127.5 - 1).astype(np.float32)),
    "floats 0…255": ("a.tiff", lambda grey: grey.astype(np.float32)),
    "floats 0…65535": ("a.tiff", lambda grey: (grey * 257).astype(np.float32)),
}


def grey_pictures():
    """Grey values [6, 5] with a contrast that eyes see: black is there, and something that is not."""
    values = st.lists(st.integers(0, 255), min_size=28, max_size=28)
    return st.tuples(st.integers(32, 255), values).map(lambda given: np.array([0, given[0], *given[1]]).reshape(6, 5))


@pytest.mark.parametrize("name, scaled", SCALED.values(), ids=SCALED)
@given(grey=grey_pictures())
def test_every_range_is_read_as_the_picture_with_8_bits(tmp_path_factory, name, scaled, grey):
    path = tmp_path_factory.getbasetemp() / name
    Image.fromarray(scaled(grey)).save(path)
    assert np.abs(np.asarray(photos.read_image(path)).astype(int) - grey).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg", "jp2", "bmp", "gif", "ppm", "webp"])
def test_every_mode_of_every_format_shows_the_picture(tmp_path, mode, suffix):
    """A black and a white half, in all that PIL can write; a mode that a format lacks is written as another."""
    halves = Image.fromarray(np.repeat([[0], [255]], 8, axis=0).repeat(16, axis=1).astype(np.uint8))
    image = halves.convert("RGB").convert(mode) if mode in ("PA", "YCbCr") else halves.convert(mode)
    try:
        image.save(tmp_path / f"a.{suffix}")
    except (OSError, KeyError, ValueError):
        pytest.skip(f"PIL writes no {mode} as {suffix}")
    seen = np.asarray(photos.read_image(tmp_path / f"a.{suffix}")).astype(int)
    assert seen[12:].min() - seen[:4].max() > 200


def png_of_16_bits(values):
    """A colour PNG with 16 bits a channel, which PIL does not write; ``values`` is uint16 [H, W, 3]."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    chunks = [struct.pack(">I", len(data)) + kind + data for kind, data in [*parts, (b"IEND", b"")]]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk + struct.pack(">I", zlib.crc32(chunk[4:])) for chunk in chunks)


def test_colours_of_16_bits_are_read_and_those_of_12_are_refused(tmp_path):
    grey = np.arange(256).reshape(16, 16)
    colours = np.stack([grey] * 3, axis=2)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(colours * 257))
    assert np.array_equal(np.asarray(photos.read_image(tmp_path / "a.png")), grey)
    (tmp_path / "b.png").write_bytes(png_of_16_bits(colours * 16))
    with pytest.raises(Refused, match="of its 16 bits a channel the upper 4 are unused; save it with 8 bits"):
        photos.read_image(tmp_path / "b.png")


@pytest.mark.parametrize(
    "values, told",
    [
        (np.array([[-5, 200]], np.int32), "its values go from -5 to 200; wanted 0 or more, or floats from −1 to 1"),
        (np.array([[-1.5, 1]], np.float32), "its values go from -1.5 to 1; wanted"),
        (np.array([[np.nan, 1]], np.float32), "some of its values are not finite"),
        (np.array([[0, np.inf]], np.float32), "some of its values are not finite"),
    ],
)
def test_values_that_are_no_brightness_are_refused(tmp_path, values, told):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(Refused, match=f"is not an image that can be read: {told}"):
        photos.read_image(tmp_path / "a.tiff")


def test_what_was_done_to_a_picture_is_told(run, stripes, tmp_path):
    pictures = {
        "dark": picture(stripes),
        "light": ImageOps.invert(picture(stripes)),
        "black": Image.new("L", (28, 28)),
        "white": Image.new("I;16", (28, 28), 65535),
    }
    for name, image in pictures.items():
        image.save(tmp_path / f"{name}.png")
    rows = predict_files(run, [tmp_path / f"{name}.png" for name in pictures], 3, "auto")
    constant = ["every pixel is 0 of 255", "every pixel is 255 of 255, inverted"]
    assert [remark for _, remark, _ in rows] == ["", "inverted", *constant]


def seen(image, invert, shape=(1, 28, 28)):
    """What a network that learned dark images sees of a file."""
    return photos.fit_image(ImageOps.invert(image) if photos.inverts(image, invert, dark=True) else image, shape, "pad")


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_file_does_not_matter(stripes, tmp_path, name):
    KINDS[name](picture(stripes)).save(tmp_path / name, **({"lossless": True} if "lossless" in name else {}))
    assert torch.equal(seen(photos.read_image(tmp_path / name), "auto"), stripes.test_images[0])


def test_black_and_white_pixels_are_the_ends(stripes, tmp_path):
    picture(stripes).point(lambda value: 255 * (value > 127)).convert("1").save(tmp_path / "a.png")
    assert np.asarray(photos.read_image(tmp_path / "a.png")).tolist() == [
        [255 * (value > 127) for value in row] for row in stripes.test_images[0, 0].tolist()
    ]


def test_transparency_counts_as_white(tmp_path):
    Image.new("RGBA", (5, 5), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert set(photos.read_image(tmp_path / "a.png").tobytes()) == {255}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_an_opaque_picture_is_the_same_as_on_white(tmp_path, mode, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "a.png")
    on_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    wanted = on_white.convert("L" if channels == 1 else "RGB")
    assert photos.read_image(tmp_path / "a.png", channels).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("mode", "clear"), [("L", 9), ("RGB", (9, 9, 9))])
def test_a_colour_that_is_transparent_counts_as_white(tmp_path, mode, clear):
    Image.new(mode, (5, 5), clear).save(tmp_path / "a.png", transparency=clear)
    assert set(photos.read_image(tmp_path / "a.png", 3).tobytes()) == {255}


def test_a_photograph_is_turned_upright(stripes, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn by 90° clockwise
    picture(stripes).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    assert photos.read_image(tmp_path / "a.png").tobytes() == picture(stripes).tobytes()


def test_a_white_background_is_turned_dark(run, stripes, tmp_path):
    picture(stripes).save(tmp_path / "dark.png")
    ImageOps.invert(picture(stripes)).save(tmp_path / "light.png")
    dark, light = ask(run, tmp_path / "dark.png", tmp_path / "light.png")
    assert light == pytest.approx(dark, abs=1e-6)


@pytest.mark.parametrize("invert, same", [("yes", False), ("no", True)])
def test_inversion_can_be_forced_and_forbidden(stripes, invert, same):
    assert torch.equal(seen(picture(stripes), invert), stripes.test_images[0] if same else 255 - stripes.test_images[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (2, 2), (28, 28), (640, 480), (37, 1000)])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 30)])
def test_any_size_fits(size, shape):
    image = Image.new("L" if shape[0] == 1 else "RGB", size)
    for framing in ("pad", "crop", "stretch"):
        fitted = photos.fit_image(image, shape, framing)
        assert (fitted.shape, fitted.dtype) == (shape, torch.uint8)


def test_proportions_are_kept_and_the_rest_is_background():
    fitted = photos.fit_image(Image.new("L", (100, 50), 200), (1, 28, 28), "pad")[0]
    assert fitted[7:21].unique().tolist() == [200]
    assert fitted[:7].unique().tolist() == fitted[21:].unique().tolist() == [0]


def test_a_crop_keeps_the_middle_and_its_proportions():
    image = Image.new("L", (100, 50), 9)
    image.paste(200, (25, 0, 75, 50))
    cropped = photos.fit_image(image, (1, 28, 28), "crop")[0]
    assert cropped[:, 2:-2].unique().tolist() == [200]  # the edge of a resampled image is mixed
    stretched = photos.fit_image(image, (1, 28, 28), "stretch")[0, 14]
    assert stretched[:6].unique().tolist() == stretched[-6:].unique().tolist() == [9] and stretched[14] == 200


def test_light_training_images_are_no_reason_to_invert():
    assert not photos.inverts(Image.new("L", (5, 5), 255), "auto", dark=False)


def test_around_a_light_picture_the_background_is_dark_too():
    assert seen(Image.new("L", (100, 50), 255), "auto").unique().tolist() == [0]


BAD = {
    "text.png": b"this is no image",
    "empty.png": b"",
    "cut.png": None,  # a PNG without its second half
    "page.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_is_refused(run, tmp_path, name):
    path = tmp_path / name
    if BAD[name] is None:
        Image.effect_noise((64, 64), 50).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(BAD[name])
    with pytest.raises(Refused, match="is not an image that can be read"):
        ask(run, path)


def test_whatever_a_decoder_raises_is_a_refusal(tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")

    def fail(image, *_):
        raise RuntimeError("broken inside")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(Refused, match="is not an image that can be read: broken inside"):
        photos.read_image(tmp_path / "a.png")


def test_reading_an_image_changes_no_filter_of_warnings(tmp_path, monkeypatch):
    """The filters belong to the process: a thread that changed them would change those of the others."""
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.delattr(warnings, "catch_warnings")
    assert photos.read_image(tmp_path / "a.png").size == (4, 4)


def test_a_missing_file_and_a_folder_are_refused(run, tmp_path):
    with pytest.raises(Refused, match="no such file"):
        ask(run, tmp_path / "nowhere.png")
    with pytest.raises(Refused, match="is not an image"):
        ask(run, tmp_path)


@pytest.mark.parametrize("limit", [200 * 200 // 2 - 1, 200 * 200 - 1])  # where PIL refuses, and where it warns
def test_a_decompression_bomb_is_refused(run, tmp_path, monkeypatch, limit):
    Image.new("L", (200, 200)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(Refused, match="decompression bomb"):
        ask(run, tmp_path / "bomb.png")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\0\0\0\0\0\0\0{}{}{}{}"])
def test_damaged_weights_are_refused(run, content):
    run.weights_file.write_bytes(content)
    with pytest.raises(Refused, match=r"model\.safetensors is not a sound \.safetensors file"):
        inference.evaluate_run(run)


def test_weights_of_another_network_are_refused(run):
    safetensors.torch.save_file({"x": torch.ones(3)}, run.weights_file)
    with pytest.raises(Refused, match="the weights do not fit the model"):
        inference.evaluate_run(run)


def test_a_run_without_weights_is_refused(run):
    run.weights_file.unlink()
    with pytest.raises(Refused, match="has no trained weights yet"):
        inference.evaluate_run(run)


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("framing", ["crop", "pad", "stretch"])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path, framing, turned, monkeypatch):
    coarse = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turned
    image = Image.fromarray(coarse).resize((1200, 900), Image.Resampling.BICUBIC)
    image.save(tmp_path / "a.jpg", quality=95, exif=exif)
    whole, small = (photos.read_image(tmp_path / "a.jpg", 3, side) for side in (None, 50))
    assert max(small.size) == 150 and max(whole.size) == 1200  # an eighth: at least 100 × 100 pixels
    stored = [photos.fit_image(each, (3, 50, 50), framing).int() for each in (whole, small)]
    assert (stored[0] - stored[1]).abs().float().mean() < 3
