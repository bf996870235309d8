"""A finished run at work: its weights measured again, or asked about images."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from d2lrun import checkpoint, datasets, devices, files, identity, models, next_step, validation, vocabulary, weights
from d2lrun.config import DATASETS, Config
from d2lrun.datasets.corpus import prefix_tokens
from d2lrun.datasets.images import ImageDataset
from d2lrun.datasets.stream import TextDataset
from d2lrun.datasets.table import TableDataset
from d2lrun.errors import Refused
from d2lrun.evaluate import evaluate, exhaust, predictions, probabilities
from d2lrun.generate import generate
from d2lrun.rundir import RunDirectory
from d2lrun.tasks import task_of


def evaluate_run(directory: RunDirectory, config: Config | None = None) -> dict[str, float]:
    """Loss and the like of a run's weights on the test set, or where it has none on what was held out."""
    config, data, model = load(directory, config)
    split = validation.split(config.validation, data, config.seed)
    name, part = ("val", split.val) if split.test is None else ("test", split.test)
    if part is None:
        raise Refused(
            f"{directory.path}: {config.dataset.name} has no labelled test set, and nothing was held out of it",
            "train with validation=holdout",
        )
    return exhaust(evaluate(name, model, part, task_of(data, config.model), config.train.batch_size))


def predict_test(directory: RunDirectory, config: Config | None = None) -> tuple[ImageDataset, Tensor, Path]:
    """The test set, the confusion counts [true, predicted], and the predictions.csv that was written."""
    config, data, model = load_classifier(directory, config)
    images = data.test_images.split(config.train.batch_size)
    guesses = probabilities(model, map(data.inputs, images)).cpu()  # [N, K]
    certainty, predicted = guesses.max(dim=1)
    labels = data.test_labels.cpu()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("index", "label", "predicted", "probability"))
    for index, row in enumerate(zip(labels.tolist(), predicted.tolist(), certainty.tolist(), strict=True)):
        writer.writerow((index, data.classes[row[0]], data.classes[row[1]], f"{row[2]:.6f}"))
    path = directory.path / "predictions.csv"
    files.write_atomic(path, text.getvalue())
    size = data.num_classes
    confusion = (labels * size + predicted).bincount(minlength=size * size).view(size, size)
    return data, confusion, path


def predict_files(
    directory: RunDirectory, paths: Sequence[Path], top: int, invert: str, config: Config | None = None
) -> list[tuple[Path, str, list[tuple[str, float]]]]:
    """For each image file a remark on how it was read, and its ``top`` classes with their probabilities, best first.

    ``invert`` is yes, no, or auto: a light background is turned dark, as the dataset's is.
    """
    pixels = [read_image(path) for path in paths]  # before the data is loaded: a bad file is refused
    config, data, model = load_classifier(directory, config)
    shape = tuple(data.train_images.shape[1:])  # as small as those it was trained on, before they are resized
    images = torch.stack([fit_image(image, shape, invert) for image in pixels]).to(data.train_images.device)
    guesses = probabilities(model, map(data.inputs, images.split(config.train.batch_size)))
    certainty, ranked = guesses.topk(min(top, data.num_classes), dim=1)
    remarks = [remark(image, invert) for image in pixels]
    rows = zip(paths, remarks, ranked.tolist(), certainty.tolist(), strict=True)
    return [(path, said, [(data.classes[k], p) for k, p in zip(best, sure)]) for path, said, best, sure in rows]


def predict_table(directory: RunDirectory, config: Config | None = None) -> tuple[TableDataset, Tensor, Path]:
    """The dataset, what is predicted [N] of its test rows, and the submission.csv that was written.

    Raises Refused where the rows are made: each has a target already.
    """
    config = config or directory.load_config()
    directory.refuse_folds()
    if not hasattr(config.dataset, "dir"):
        raise Refused(
            f"{directory.path}: the rows of {config.dataset.name} are made, there is none whose target is unknown",
            f"d2lrun evaluate {directory.path} measures it on the test rows",
        )
    config, data, model = load(directory, config)
    data = validation.split(config.validation, data, config.seed).train.data  # prepared as in training
    return data, *write_submission(directory, model, data, config.train.batch_size)


def write_submission(directory: RunDirectory, model: nn.Module, data: TableDataset, size: int) -> tuple[Tensor, Path]:
    """Write submission.csv, as Kaggle takes it: Id and prediction of each test row. Returns predictions [N] and path.

    None is below 1, as where the error of the logarithms is measured: some rows would have none.
    """
    predicted = predictions(model, data.test_features.split(size)).clamp(min=1)  # [N]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("Id", data.target))
    writer.writerows((name, f"{value:.2f}") for name, value in zip(data.test_ids, predicted.tolist(), strict=True))
    files.write_atomic(directory.submission, text.getvalue())
    return predicted, directory.submission


def is_table(config: Config) -> bool:
    """Whether the run predicts numbers from the rows of a table."""
    return "table" in DATASETS[config.dataset.name].kinds


def continue_text(
    directory: RunDirectory,
    prefix: str,
    length: int,
    temperature: float,
    top_k: int | None,
    seed: int,
    config: Config | None = None,
) -> tuple[list[str], Iterator[str]]:
    """What of the prefix the vocabulary does not know, and the text, prefix first, piece by piece as it is written.

    An empty prefix stands for the one of the run's dataset. Needs the run's files only, not its data, unless the
    config names another place for them.
    """
    config = config or directory.load_config()
    directory.refuse_folds()
    if config.dataset != directory.load_config().dataset:
        identity.reached(config, directory, said)
    known = vocabulary.read(directory)
    tokens = prefix_tokens(prefix or config.dataset.prefix or "", config.dataset.kind, config.dataset.rule)
    tokens = tokens or [known.tokens[-1 if len(known) == 1 else 1]]  # the commonest
    model = models.build(config.model, None, len(known))
    weights.load(model, read_weights(directory))
    devices.place(model, devices.prepare(config.device), config.device)
    ids = generate(model, known.encode(tokens), length, temperature=temperature, top_k=top_k, seed=seed)
    gap = " " if config.dataset.kind == "word" else ""

    def pieces() -> Iterator[str]:
        yield gap.join(tokens)
        for index in ids:
            yield gap + known.tokens[index]

    return known.unknown(tokens), pieces()


def load(
    directory: RunDirectory, config: Config | None
) -> tuple[Config, ImageDataset | TextDataset | TableDataset, nn.Module]:
    """A run's config, its dataset and its trained model; raises Refused if the data are not those it began with.

    ``config`` is the run's own if it is None, else that with its data at another place or with another device.
    """
    config = config or directory.load_config()
    directory.refuse_folds()
    trained = read_weights(directory)
    device = devices.prepare(config.device)
    config = identity.reached(config, directory, said)
    model = models.build(config.model, *datasets.form(config.dataset))
    data = datasets.load(config.dataset).to(device)
    if isinstance(data, TextDataset):
        vocabulary.read(directory)  # which refuses a damaged one
        vocabulary.refuse_other(data, directory)
    weights.load(model, trained)
    return config, data, devices.place(model, device, config.device)


def said(line: str) -> None:
    """Say where data were found on stderr, for what a verb prints may be read by a program."""
    sys.stderr.write(f"{line}\n")


def load_classifier(directory: RunDirectory, config: Config | None) -> tuple[Config, ImageDataset, nn.Module]:
    """``load`` for a run on images; raises Refused for a language model and for a regression."""
    config = config or directory.load_config()
    if is_table(config):
        raise Refused(
            f"{directory.path} is a run on the rows of a table: it predicts numbers, and takes no images",
            f"d2lrun predict {directory.path}",
        )
    if hasattr(config.dataset, "kind"):  # of tokens
        raise Refused(
            f"{directory.path} is a language model's run: it predicts tokens, not classes",
            f"d2lrun generate {directory.path}",
        )
    return load(directory, config)


def read_weights(directory: RunDirectory) -> dict[str, Tensor]:
    """The final weights, or those of the newest checkpoint of a run that has not finished."""
    if directory.weights_file.exists():
        return weights.read(directory.weights_file)
    found: list[dict[str, Any]] = []
    checkpoint.load_newest(directory.checkpoints, directory.config_hashes(), found.append, say=lambda line: None)
    if not found:
        raise Refused(f"{directory.path} has no trained weights yet", next_step.resume(directory.path))
    return found[0]["model"]


def read_image(path: Path) -> Any:
    """A grey PIL image, upright; transparency counts as white. Raises Refused for what is no image."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                wide = ";16" in str(file.tile) and not file.mode.startswith(
                    "I"
                )  # 16 bits a channel; of several channels PIL keeps the upper 8 alone
                image = eight_bits(ImageOps.exif_transpose(file)).convert("RGBA")
        if wide and max(high for _, high in image.convert("RGB").getextrema()) < 16:
            raise ValueError("of its 16 bits a channel the upper 4 are unused; save it with 8 bits a channel")
    except FileNotFoundError:
        raise Refused(f"{path}: no such file", "give the image files behind the run's directory") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(f"{path} is not an image that can be read: {error}", "PNG, JPEG, … are read") from error
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("L")


def eight_bits(image: Any) -> Any:
    """A PIL image of integers with more than 8 bits, or of floats, as one with 8 bits; any other as it is.

    The range of the values says which one is white. Floats from 0 to 1 or from −1 to 1 are scaled from that range. All
    others are scaled from 0 to 2ⁿ − 1 with the smallest n of 8, 12, 16, 20, … that holds them: 12 bits in a file of
    16 are seen, and no picture of 16 bits changes, unless it would be nearly black. Raises ValueError for what is
    negative or not a number.
    """
    from PIL import Image

    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image, dtype=np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite((low, high)).all():
        raise ValueError("some of its values are not finite")
    if image.mode == "F" and low >= -1 and high <= 1:
        black, white = (-1 if low < 0 else 0), 1
    elif low >= 0:
        black, white = 0, 2 ** max(8, -(-int(high).bit_length() // 4) * 4) - 1
    else:
        raise ValueError(f"its values go from {low:g} to {high:g}; wanted 0 or more, or floats from −1 to 1")
    return Image.fromarray(((values - black) * (255 / (white - black))).round().clip(0, 255).astype(np.uint8))


def remark(image: Any, invert: str) -> str:
    """What people should know of how a grey PIL image was read; empty if there is nothing."""
    low, high = image.getextrema()
    constant = [f"every pixel is {low} of 255"] if low == high else []
    return ", ".join([*constant, *(["inverted"] if inverts(image, invert) else [])])


def inverts(image: Any, invert: str) -> bool:
    """Whether a grey PIL image is to be inverted; "auto" inverts it if its border is light."""
    border = torch.tensor([image.getpixel(at) for at in corners(image.size)], dtype=torch.float32)
    return invert == "yes" or (invert == "auto" and bool(border.median() > 127))


def fit_image(image: Any, shape: tuple[int, int, int], invert: str) -> Tensor:
    """A grey PIL image of any size as uint8 [C, H, W]: its proportions kept, the rest filled with background."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    if inverts(image, invert):
        image = ImageOps.invert(image)
    image = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, color=0)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(1, height, width)
    return pixels.expand(channels, height, width)  # [C, H, W]


def corners(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The four corners and the middles of the four sides."""
    right, bottom = size[0] - 1, size[1] - 1
    xs, ys = (0, right // 2, right), (0, bottom // 2, bottom)
    return [(x, y) for x in xs for y in ys if (x, y) != (right // 2, bottom // 2) or min(size) < 3]
