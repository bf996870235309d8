"""The output of a tagging for people: scores of each tag, a tagged sentence, and which tags are mistaken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.report.text import optional, say
from d2lrun.tasks.tagging.facts import remarks, tag_counts
from d2lrun.tasks.tagging.pictures import draw_confusion, draw_counts
from d2lrun.tasks.tagging.predict import predictions
from d2lrun.tasks.tagging.scores import counts_of, usual_tags
from d2lrun.tasks.tagging.sentences import TaggedDataset, TaggedSubset
from d2lrun.tasks.tagging.styles import labels_of
from d2lrun.tasks.tagging.tables import by_count, rows_of, show_counts, table_of, write_tags
from d2lrun.text import record
from d2lrun.training.experiment import Experiment
from d2lrun.training.scores import macro_f1, scores

if TYPE_CHECKING:
    from rich.console import Console

SCORES = "tags.csv"
SAMPLED = 40  # most words of a sample


def lists_of(data: TaggedDataset) -> dict[str, list[str]]:
    """Return the lists of vocabulary.json."""
    lists = {"tokens": data.learned.vocabulary.tokens, "tags": data.learned.tagset.tokens}
    return lists | ({"characters": data.learned.alphabet.tokens} if data.characters else {})


def prepare(data: TaggedDataset, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Write vocabulary.json, and say what training does not have."""
    for line in remarks(data):
        say(line)
    record.write(directory, **lists_of(data))


def check(data: TaggedDataset, directory: RunDirectory) -> None:
    """Raise Refused if vocabulary.json is damaged or of other sentences."""
    lists = lists_of(data)
    if record.read(directory, *lists) != [*lists.values()]:
        raise Refused(
            f"{directory.vocabulary_file} is not the vocabulary of {data.name}",
            "restore the data as they were, or train the run again",
        )


def sample(experiment: Experiment[TaggedDataset, TaggedSubset], directory: RunDirectory, now: bool) -> None:
    """Write samples.txt; if ``now``, first tag the first sentence that was not trained on."""
    state = experiment.state
    earlier = [each for each in state.samples or [] if not now or each["epoch"] < state.epoch]
    state.samples = [*earlier, *([{"epoch": state.epoch, "text": example(experiment)}] if now else [])]
    if state.samples or directory.samples.exists():
        lines = [f"epoch {each['epoch']}: {each['text']}\n" for each in state.samples]
        files.write_atomic(directory.samples, "".join(lines))


def example(experiment: Experiment[TaggedDataset, TaggedSubset]) -> str:
    """Return a sentence with its predicted tags, and if they differ, also with the true ones."""
    data, whole = experiment.data, experiment.split.pictured
    part = whole.data.part(whole.pool, whole.index[:1])
    assert part is not None, "the pool is there"
    numbers, true = (each[:SAMPLED] for each in part.numbers())
    guesses = predictions(experiment.state.model, part, 1)[:SAMPLED]
    words = [data.words[number] for number in numbers.tolist()]
    found, wanted = (data.style.write(words, data.learned.tagset.decode(tags.tolist())) for tags in (guesses, true))
    return found if found == wanted else f"{found}  (true: {wanted})"


def describe(experiment: Experiment[TaggedDataset, TaggedSubset], directory: RunDirectory) -> dict[str, Any]:
    """Write tags.csv: the scores of each tag on what was held out, or else trained on. Return baselines and a table.

    The baselines are accuracies, measured as the network's: always the most frequent tag, and the most frequent tag of
    each word.
    """
    train, (name, part) = experiment.split.train, measured(experiment)
    found = score(experiment.state.model, train, part, experiment.config.train.batch_size)
    write_tags(directory.path / SCORES, found.rows)
    baselines = {
        "most frequent tag": experiment.task.floor(train, part),
        "most frequent tag of the word": (found.usual == found.true).double().mean().item(),
    }
    return {"baselines": baselines, "table": table_of(f"{name} part: {found.title}", found.rows)}


class Scored(NamedTuple):
    """Tags [n]: the true ones, the predicted ones, the most frequent ones of the words; and the rows of tags.csv."""

    true: Tensor
    predicted: Tensor
    usual: Tensor
    rows: list[list[Any]]
    title: str


def score(model: nn.Module, train: TaggedSubset, part: TaggedSubset, size: int) -> Scored:
    """Return the tags and scores of ``part``, in batches of ``size``."""
    words, true = part.numbers()
    predicted, usual = predictions(model, part, size), usual_tags(train)[words]
    labels, places = labels_of(part.data.style, part.data.learned.tagset.tokens)
    own, others = (counts_of(true, tags, torch.tensor(places)) for tags in (predicted, usual))
    right, base = ((tags == true).double().mean().item() for tags in (predicted, usual))
    title = (
        f"accuracy {right:.4f}, macro F1 {macro_f1(own):.3f}; "
        f"most frequent tag of each word: {base:.4f}, {macro_f1(others):.3f}"
    )
    return Scored(true, predicted, usual, rows_of(labels, own, others), title)


def measured(experiment: Experiment[TaggedDataset, TaggedSubset]) -> tuple[str, TaggedSubset]:
    """Return the part that people look at, as ``floor`` of result.json: val, else test, else train."""
    split = experiment.split
    return next(
        (name, part) for name, part in (("val", split.val), ("test", split.test), ("train", split.train)) if part
    )


def draw(
    experiment: Experiment[TaggedDataset, TaggedSubset], directory: RunDirectory, title: str, say: Callable[[str], None]
) -> None:
    """Draw predictions.png, which tags are mistaken for which, and add the last sample if it is not there."""
    state = experiment.state
    if not any(each["epoch"] == state.epoch for each in state.samples or []):
        sample(experiment, directory, now=True)
    with optional(directory.predictions, say):
        size = experiment.config.train.batch_size
        true, guesses, usual, *_ = score(experiment.state.model, experiment.split.train, measured(experiment)[1], size)
        tags = experiment.data.learned.tagset.tokens
        count, alone = len(tags), torch.arange(len(tags)).unsqueeze(1)
        confusion = (true * count + guesses).bincount(minlength=count * count).view(count, count)
        own, others = (scores(counts_of(true, each, alone))[2].tolist() for each in (guesses, usual))
        draw_confusion(directory.predictions, tags, confusion, list(zip(own, others)))


def show(console: Console, data: TaggedDataset, picture: Path) -> None:
    """Print the counts of the sentences, words and tags, and draw them."""
    show_counts(console, data)
    parts = [part for name in ("train", "test") if (part := data.part(name)) is not None]
    counts = [tag_counts(part, data.tags) for part in parts]
    order, lengths = by_count(counts), torch.cat([part.lengths for part in parts]).tolist()
    used = torch.stack(counts).sum(dim=0)[order].tolist()
    draw_counts(picture, f"{data.name}: tags and sentences", [data.tags[number] for number in order], used, lengths)
    say(console, f" picture     {picture}")
