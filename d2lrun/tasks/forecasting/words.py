"""``d2lrun forecast RUN``: continue a series beyond its end. Functions import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.config import complaints
from d2lrun.counts import counted
from d2lrun.errors import Refused
from d2lrun.tasks import Question, Word, whole

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.tasks.forecasting.series import SeriesDataset

MOST = 10**6  # steps


def check(options: dict[str, str]) -> None:
    """Raise Refused for a wrong value of an option."""
    whole(options, "steps", 1, MOST, "forecast")


def forecast(question: Question) -> None:
    """Print the continuation of the run's series, or of the series in other files; all steps go to forecast.csv."""
    options, config = question.options, question.config
    count = whole(options, "steps", 1, MOST, "forecast")
    if len(question.files) > 1:
        raise Refused(f"{question.files[1]}: forecast continues one file", "give one FILE, or none")
    from d2lrun.disk.files import write_atomic
    from d2lrun.report.text import say
    from d2lrun.tasks.forecasting.predict import continued, step_of
    from d2lrun.tasks.forecasting.tables import show_continuation

    data: SeriesDataset
    data, model = question.load()
    values = data.read(question.files[0]) if question.files else data.values
    if len(values) < data.tau:
        given = f"{question.files[0]}: {counted(len(values), 'value')}, too few for a window"
        raise Refused(f"{given} of {complaints.shown('dataset.tau', data.tau)}", "give a file with more values")
    scale = data.split(config.validation, config.seed).train.scale  # as in training
    predicted = continued(step_of(model, scale, data.device, 1), values, data.tau, count)
    path = question.directory.path / "forecast.csv"
    lines = [f"{step},{value!r}" for step, value in enumerate(predicted.tolist(), 1)]
    write_atomic(path, "\n".join(["step,value", *lines, ""]))
    show_continuation(question.console, data.column, predicted)
    say(question.console, f" every step: {path}")


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``forecast``."""
    return ["forecast", directory]


WORDS = {
    "forecast": Word(
        "[FILE...] [steps=64]",
        "continue a series beyond its end; every step goes to forecast.csv",
        {
            "FILE": "a file like the run's own, to continue; default: the run's series",
            "steps": "how many values to predict; each is read as if it were true",
        },
        forecast,
        check,
    )
}
