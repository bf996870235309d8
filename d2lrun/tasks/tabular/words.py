"""``d2lrun predict RUN [FILE]``: predict the targets of other rows. Functions import torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.config.tables import dataset_of
from d2lrun.errors import Refused
from d2lrun.tasks import Question, Word

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.disk.cells import Sheet
    from d2lrun.tasks.tabular.predict import Filled
    from d2lrun.tasks.tabular.table import TableDataset


def predict(question: Question) -> None:
    """Print the first predictions for the rows of a file, or else for the test rows, and write all of them as csv."""
    if question.files:
        predict_file(question)
    else:
        predict_test(question)


def predict_test(question: Question) -> None:
    """Write submission.csv: the predictions for test rows without targets. Raises Refused if there are none."""
    directory, config = question.directory, question.config
    if not dataset_of(config.dataset).named:
        raise Refused(
            f"{directory.path}: each row of {config.dataset.name} has a target, so there is none to predict",
            f"d2lrun evaluate {directory.path} measures it on the test rows",
        )
    from d2lrun.report.text import say
    from d2lrun.tasks.tabular.predict import write_submission
    from d2lrun.tasks.tabular.tables import show_predicted

    data: TableDataset
    data, model = question.load()
    if data.test_targets is not None or not len(data.test_features):
        raise Refused(
            f"{directory.path}: {data.name} has no rows without a target",
            f"name a file with such rows: {directory.command('predict')} FILE.csv",
        )
    data = data.split(config.validation, config.seed).train.data  # prepared as in training
    found = write_submission(directory.submission, model, data, config.train.batch_size)
    show_predicted(question.console, (data.identifier or "line", data.target), data.test_ids, found.texts)
    say(question.console, f" every prediction: {directory.submission}")


def predict_file(question: Question) -> None:
    """Write predictions.csv: the predictions for the rows of a file, by what the run recorded of its columns.

    If the file has the target, the predictions are measured, too.
    """
    from d2lrun.report.text import say
    from d2lrun.tasks.tabular.tables import show_filled

    if len(question.files) > 1:
        raise Refused(
            f"{question.files[1]}: one file of rows at a time", "join the files, or give the command for each"
        )
    file = question.files[0]
    filled, remarks = filled_rows(question, partial(sheet_of_file, question, file), f"{file}: ")
    path = question.directory.path / "predictions.csv"
    filled.write(path)
    for remark in remarks:
        say(question.console, f" {remark}")
    show_filled(question.console, filled)
    say(question.console, f" every prediction: {path}")


def sheet_of_file(question: Question, path: str, missing: tuple[str, ...]) -> Sheet:
    """Return the columns of a CSV file; cells in ``missing`` have no value. Raises Refused."""
    from d2lrun.disk.cells import read_sheet
    from d2lrun.disk.texts import decode, read_files

    encoding = getattr(question.config.dataset, "encoding", "utf-8")
    file = read_files(question.config.dataset.name, [path], encoding)[0]
    return read_sheet(file.origin, decode(file.origin, file.content, encoding), missing)


def filled_rows(
    question: Question, read: Callable[[tuple[str, ...]], Sheet], named: str = ""
) -> tuple[Filled, list[str]]:
    """Return the predictions for the rows of ``read(missing)``, and remarks.

    Raises Refused; ``named`` is the beginning of its message.
    """
    from d2lrun.tasks.tabular import record
    from d2lrun.tasks.tabular.predict import Filled, answers, features_of_file
    from d2lrun.training.trained import trained

    directory, config = question.directory, question.config
    known = record.read(directory)
    if known is None:
        if dataset_of(config.dataset).named:
            raise Refused(f"{directory.path} has no record of its columns: it is too old", "train the run again")
        what = f"{named}the rows of {config.dataset.name} are not from a file, so no other rows are like them"
        raise Refused(what, directory.command("evaluate"))
    sheet = read(known.missing)
    features, remarks = features_of_file(sheet, known)
    model = trained(directory, config, (features.shape[1],), len(known.classes) or 1)
    features = features.to(next(model.parameters()).device)
    return Filled(sheet, known, answers(model, features, config.train.batch_size, known)), remarks


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``predict`` if the test rows have no targets or the rows are from a file."""
    entry = dataset_of(config.dataset)
    if entry.unlabelled:
        return ["predict", directory]
    return ["predict", directory, "FILE.csv"] if entry.named else ["evaluate", directory]


WORDS = {
    "predict": Word(
        "[FILE...]",
        "the targets of the rows of a file, to predictions.csv, or of test rows without targets",
        {"FILE": "a csv file like the training file; default: rows without targets"},
        predict,
    )
}
