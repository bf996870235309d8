"""The training of an n-gram model: one pass over the training part, without gradients (book 8.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from d2lrun.errors import Refused
from d2lrun.training.evaluate import evaluate
from d2lrun.training.fit import evaluate_epoch
from d2lrun.training.task import Course, Split, Task

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.models.ngram import NGram
    from d2lrun.tasks.language_model.stream import TextSubset
    from d2lrun.training.fit import State


def count_grams(state: State, split: Split[TextSubset], task: Task, config: Config) -> Course:
    """Return the Course of an n-gram model: one epoch; its batches are the ones that measure the training part."""
    batches = [*chain.from_iterable(split.train.ordered(config.train.batch_size))]
    return Course(batches, fit_counts(state, split, task, config))


def fit_counts(state: State, split: Split[TextSubset], task: Task, config: Config) -> Iterator[dict[str, Any] | None]:
    """Count n-grams, then measure; a state that has counted is not changed. Raises Refused."""
    if state.epoch > 0:
        return
    started = perf_counter()
    model = cast("NGram", state.model)  # the only one that counts
    try:
        model.fit(split.train.tokens)
    except ValueError as error:
        raise Refused(str(error), "give a longer text or a smaller model.order") from error
    learned = yield from evaluate("train", state.model, split.train, task, config.train.batch_size)
    measured = yield from evaluate_epoch(state.model, split, task, config)
    state.step = state.epoch = 1
    seconds = perf_counter() - started
    speed = len(split.train.tokens) / seconds
    record = {"epoch": 1, "step": 1, "seconds": seconds, **learned, **measured, f"{task.unit}_per_second": speed}
    state.records.append(record)
    yield record
