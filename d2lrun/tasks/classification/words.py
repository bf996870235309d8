"""``d2lrun predict RUN``: the classes of image files, of a folder or of the test set. Functions import torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.tasks import Question, Word, whole
from d2lrun.tasks.classification import picture_files

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.tasks.classification.images import ImageDataset
    from d2lrun.tasks.classification.preparation import Preparation

DEFAULT_TOP, MOST = "3", 10**9  # of the classes that are printed


def check(options: dict[str, str]) -> None:
    """Raise Refused for a wrong value of an option."""
    whole(options, "top", 1, MOST, "predict")
    invert = options["invert"]
    if invert not in ("auto", "yes", "no"):
        raise Refused(f"invert={invert}: wanted auto, yes or no", "auto turns a light background dark")


def predict(question: Question) -> None:
    """Print the classes of the files; without files, of the test set, and write them to predictions.csv."""
    if question.files:
        (predict_many if any(map(picture_files.is_many, question.files)) else predict_files)(question)
        return
    from d2lrun.report.classes import show_classes
    from d2lrun.report.text import say
    from d2lrun.tasks.classification.predict import predict_test

    data: ImageDataset
    data, model = question.load()
    size = question.config.train.batch_size
    path = question.directory.path / "predictions.csv"
    show_classes(question.console, data.classes, predict_test(data, model, size, path))
    say(question.console, f" every prediction: {path}")


def predict_files(question: Question) -> None:
    """Print the classes of image files, by the classes and the preparation that the run recorded."""
    from d2lrun.report.classes import show_predictions
    from d2lrun.tasks.classification.predict import predict_images, stored

    options, size = question.options, question.config.train.batch_size
    images: list[Any] = []

    def read(prepare: Preparation) -> None:
        """Read the files before the network is loaded: bad files are refused early."""
        images.extend(stored(Path(file), prepare, options["invert"]) for file in question.files)

    classes, prepare, model = recorded(question, read)
    rows = predict_images(model, classes, prepare, size, images, int(options["top"]))
    show_predictions(question.console, [(file, *row) for file, row in zip(question.files, rows, strict=True)])


def recorded(question: Question, before: Callable[[Preparation], None]) -> tuple[tuple[str, ...], Preparation, Any]:
    """Return the classes, the preparation and the model of a run; ``before`` is called before the model is loaded."""
    from d2lrun.tasks.classification import preparation
    from d2lrun.training.trained import trained

    known = preparation.read(question.directory)
    if known is None:  # by an earlier version: the data say it
        data: ImageDataset
        data, model = question.load()
        before(data.preparation)
        return data.classes, data.preparation, model
    classes, prepare = known
    before(prepare)
    question.check_data()
    return classes, prepare, trained(question.directory, question.config, prepare.inputs, len(classes))


def predict_many(question: Question) -> None:
    """Predict all pictures in folders and of patterns: a CSV, a contact sheet, and the accuracy by the folders."""
    from d2lrun.report.text import counted, optional, say

    options, console = question.options, question.console
    if options["top"] != DEFAULT_TOP:
        raise Refused(f"top={options['top']}: for image files alone", "leave it out: pictures.csv has the first class")

    def tell(line: str) -> None:
        say(console, line)

    question.directory.refuse_unwritable()
    pictures = picture_files.found(question.files, tell)
    tell(f" predicting {counted(len(pictures), 'picture')}")  # before torch is imported, which takes seconds
    from d2lrun.tasks.classification import many
    from d2lrun.tasks.classification.pictures import draw_contact_sheet
    from d2lrun.tasks.classification.predict import stored
    from d2lrun.tasks.classification.tables import Count, show_many

    classes, prepare, model = recorded(question, lambda prepare: None)
    invert, size = options["invert"], question.config.train.batch_size
    with Count(console) as count:
        known, unread, inverted = many.predictions(model, classes, prepare, size, invert, pictures, count)
    if not known:
        raise Refused(f"no file of {len(pictures):,} can be read as a picture: {unread[0]}", "give other files")
    table, sheet = (question.directory.path / f"pictures.{suffix}" for suffix in ("csv", "png"))
    many.write(table, known)
    show_many(console, classes, known, unread, inverted)
    with optional(sheet, tell):
        draw_contact_sheet(sheet, lambda n: stored(known[n].picture.path, prepare, "no").pixels, known)
        tell(f" contact sheet: {sheet}")
    tell(f" every prediction: {table}")


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``predict`` for this run; without test images it needs others."""
    return ["predict", directory, *([] if RunDirectory(directory).has_part("test") else ["IMAGE"])]


WORDS = {
    "predict": Word(
        f"[IMAGE...] [top={DEFAULT_TOP}] [invert=auto|yes|no]",
        "the classes of image files, of a folder, or of the test set",
        {
            "IMAGE": "a file, folder or pattern such as 'pics/*.png'; default: test set",
            "top": "how many classes to print, the likeliest first",
            "invert": "make a light background dark; auto: only if it is light",
        },
        predict,
        check,
    )
}
