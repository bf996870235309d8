"""``d2lrun predict RUN``: predict the classes of texts or of the test part. Functions import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.tasks import Question, Word, whole

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.tasks.text_classification.texts import LabelledTexts

MOST = 10**9  # of the classes that are printed
SHOWN = 60  # columns of a text on the terminal


def check(options: dict[str, str]) -> None:
    """Raise Refused for a wrong value of an option."""
    whole(options, "top", 1, MOST, "predict")


def predict(question: Question) -> None:
    """Print the classes of the texts; without texts, of the test part, and write them to predictions.csv."""
    if question.files:
        predict_texts(question)
    else:
        predict_test(question)


def predict_texts(question: Question) -> None:
    """Print the classes of texts, and of each line of a file."""
    from rich.cells import cell_len, set_cell_size

    from d2lrun.counts import counted
    from d2lrun.disk.texts import lines_of
    from d2lrun.report.classes import show_predictions
    from d2lrun.tasks.text_classification.predict import classify
    from d2lrun.tasks.text_classification.texts import line_of

    texts = lines_of(question.files, getattr(question.config.dataset, "encoding", "utf-8"))
    question.check_data()
    rows = []
    found = classify(question.directory, question.config, texts, int(question.options["top"]))
    for text, (unknown, classes) in zip(map(line_of, texts), found, strict=True):
        short = text if cell_len(text) <= SHOWN else set_cell_size(text, SHOWN - 1) + "…"
        remark = f"{counted(unknown, 'token')} not in the vocabulary" if unknown else ""
        rows.append((short or "(no text)", remark, classes))
    show_predictions(question.console, rows)


def predict_test(question: Question) -> None:
    """Print the confusion table of the test part, or else of the held-out part, and write predictions.csv."""
    from d2lrun.report.classes import show_classes
    from d2lrun.report.text import say
    from d2lrun.tasks.text_classification.predict import predict_part

    data: LabelledTexts
    data, model = question.load()
    split = data.split(question.config.validation, question.config.seed)
    part = split.val if split.test is None else split.test
    if part is None:
        raise Refused(
            f"{question.directory.path}: {data.name} has no test part, and nothing was held out of it",
            f'{question.directory.command("predict")} "a text"',
        )
    predictions = predict_part(part, model, question.config.train.batch_size)
    path = question.directory.path / "predictions.csv"
    predictions.write(path)
    say(question.console, f" {'held-out' if split.test is None else 'test'} texts\n")
    show_classes(question.console, data.classes, predictions.confusion)
    say(question.console, f" every prediction: {path}")


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``predict`` for this run; without a test or held-out part it needs a text."""
    return ["predict", directory, *([] if RunDirectory(directory).has_part("test", "val") else ["TEXT"])]


WORDS = {
    "predict": Word(
        "[TEXT...] [top=3]",
        "the classes of texts, or of the test part",
        {
            "TEXT": "a text, or a file of one text a line; default: the test part",
            "top": "how many classes to print, the likeliest first",
        },
        predict,
        check,
    )
}
