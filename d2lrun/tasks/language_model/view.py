"""The output of a language model for people: generated texts, and the comparison with guessing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory
from d2lrun.report.text import say
from d2lrun.tasks.language_model import vocabulary
from d2lrun.tasks.language_model.facts import facts_of
from d2lrun.tasks.language_model.generate import generate
from d2lrun.tasks.language_model.stream import TextDataset, TextSubset
from d2lrun.tasks.language_model.tables import show_facts
from d2lrun.tasks.language_model.task import unigram_perplexity
from d2lrun.tasks.language_model.zipf import draw_zipf
from d2lrun.text.corpus import clean, untokenise
from d2lrun.training.experiment import Experiment
from d2lrun.training.fit import State

if TYPE_CHECKING:
    from rich.console import Console

SAMPLED = 50  # tokens of a sample, as in the book


def prepare(data: TextDataset, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Write vocabulary.json; raises Refused if the run started with another text."""
    vocabulary.keep(data, directory, say)


def check(data: TextDataset, directory: RunDirectory) -> None:
    """Raise Refused if vocabulary.json is damaged or of another text."""
    vocabulary.read(directory)
    vocabulary.refuse_other(data, directory)


def sample(experiment: Experiment[TextDataset, TextSubset], directory: RunDirectory, now: bool) -> None:
    """Write samples.txt; if ``now``, first continue the dataset's prefix greedily, as in the book."""
    state = experiment.state
    if now and not getattr(experiment.config.model, "bidirectional", False):
        earlier = [each for each in known_samples(state, directory) if each["epoch"] < state.epoch]
        state.samples = [*earlier, {"epoch": state.epoch, "text": continuation(experiment)}]
    else:
        state.samples = known_samples(state, directory)
    if state.samples or directory.samples.exists():
        write_samples(state.samples, directory)


def continuation(experiment: Experiment[TextDataset, TextSubset]) -> str:
    """Return the model's continuation of the dataset's prefix."""
    data = experiment.data
    prefix = data.beginning()
    ids = generate(experiment.state.model, data.vocabulary.encode(prefix), SAMPLED)
    return untokenise([*prefix, *data.vocabulary.decode(ids)], data.kind)


def write_samples(samples: list[dict[str, Any]], directory: RunDirectory) -> None:
    """Rewrite samples.txt with a line for each sample."""
    lines = [f"epoch {each['epoch']}: {each['text'].replace(chr(10), '⏎')}\n" for each in samples]
    files.write_atomic(directory.samples, "".join(lines))


def known_samples(state: State, directory: RunDirectory) -> list[dict[str, Any]]:
    """Return the samples of the state; if an earlier version saved it without them, the samples in samples.txt."""
    if state.samples is not None:
        return state.samples
    found = files.read(directory.samples) if directory.samples.exists() else b""
    lines = re.findall(r"^epoch (\d{1,9}): (.*)$", found.decode("utf-8", "replace"), re.MULTILINE)
    texts = {int(epoch): text for epoch, text in lines if int(epoch) <= state.epoch}
    return [{"epoch": epoch, "text": texts[epoch]} for epoch in sorted(texts)]


def describe(experiment: Experiment[TextDataset, TextSubset], directory: RunDirectory) -> dict[str, Any]:
    """Return the perplexity of two constant predictions, and a remark on a low perplexity.

    uniform: all tokens are equally probable. unigram: by the counts in training, plus 1.
    """
    split, size = experiment.split, experiment.data.outputs
    measured = split.train if split.val is None else split.val
    unigram = unigram_perplexity(split.train.tokens, measured.tokens, size)
    note = None
    if split.val is None:
        note = "measured on the text that was learned: near 1 it is memorised; validation=holdout keeps a part unseen"
    return {"baselines": {"uniform": float(size), "unigram": unigram}, "note": note}


def draw(
    experiment: Experiment[TextDataset, TextSubset], directory: RunDirectory, title: str, say: Callable[[str], None]
) -> None:
    """Add the last sample to samples.txt if it is not there; there is no picture."""
    state = experiment.state
    if not any(each["epoch"] == state.epoch for each in known_samples(state, directory)):
        sample(experiment, directory, now=True)


def show(console: Console, data: TextDataset, picture: Path) -> None:
    """Print the statistics of the text, and draw the frequencies of its words."""
    facts = facts_of(clean(data.read(), data.rule), data.kind, data.vocabulary)
    show_facts(console, data, facts)
    frequencies = {name: grams.frequencies for name, grams in facts.grams.items()}
    draw_zipf(picture, frequencies, f"{data.name}: frequency by rank")
    say(console, f" Zipf plot   {picture}")
