"""``d2lrun predict RUN``: predict the classes of image files or of the test set. Functions import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.errors import Refused
from d2lrun.tasks import Question, Word, whole

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.tasks.classification.images import ImageDataset

MOST = 10**9  # of the classes that are printed


def check(options: dict[str, str]) -> None:
    """Raise Refused for a wrong value of an option."""
    whole(options, "top", 1, MOST, "predict")
    invert = options["invert"]
    if invert not in ("auto", "yes", "no"):
        raise Refused(f"invert={invert}: wanted auto, yes or no", "auto turns a light background dark")


def predict(question: Question) -> None:
    """Print the classes of the files; without files, of the test set, and write them to predictions.csv."""
    from d2lrun.report.classes import show_classes
    from d2lrun.report.text import say
    from d2lrun.tasks.classification.predict import predict_test

    if question.files:
        predict_files(question)
        return
    data: ImageDataset
    data, model = question.load()
    size = question.config.train.batch_size
    path = question.directory.path / "predictions.csv"
    show_classes(question.console, data.classes, predict_test(data, model, size, path))
    say(question.console, f" every prediction: {path}")


def predict_files(question: Question) -> None:
    """Print the classes of image files, by the classes and the preparation that the run recorded."""
    from d2lrun.report.classes import show_predictions
    from d2lrun.tasks.classification import preparation
    from d2lrun.tasks.classification.photos import read_image
    from d2lrun.tasks.classification.predict import predict_images
    from d2lrun.training.trained import trained

    recorded = preparation.read(question.directory)
    if recorded is None:  # by an earlier version: the data say it
        data: ImageDataset
        data, model = question.load()
        classes, prepare = data.classes, data.preparation
        pixels = [read_image(Path(file), prepare.stored[0]) for file in question.files]
    else:
        classes, prepare = recorded
        pixels = [read_image(Path(file), prepare.stored[0]) for file in question.files]  # bad files are refused early
        question.check_data()
        model = trained(question.directory, question.config, prepare.inputs, len(classes))
    options, size = question.options, question.config.train.batch_size
    rows = predict_images(model, classes, prepare, size, pixels, int(options["top"]), options["invert"])
    show_predictions(question.console, [(file, *row) for file, row in zip(question.files, rows, strict=True)])


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``predict`` for this run."""
    return ["predict", directory]


WORDS = {
    "predict": Word(
        "[IMAGE...] [top=3] [invert=auto|yes|no]",
        "the classes of image files, or of the test set",
        {
            "IMAGE": "an image file; without one, the test set is predicted",
            "top": "how many classes to print for each image, the likeliest first",
            "invert": "make a light background dark; auto: only if it is light",
        },
        predict,
        check,
    )
}
