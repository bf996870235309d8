"""The output of a translation for people: sample translations, those of the held-out part, and attention."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory
from d2lrun.report.text import optional, say
from d2lrun.tasks.translation.attended import attention_to
from d2lrun.tasks.translation.pairs import PairDataset, PairSubset
from d2lrun.tasks.translation.pictures import draw_attention, draw_lengths
from d2lrun.tasks.translation.tables import facts, show_pairs
from d2lrun.tasks.translation.task import reader_of, tokens_in, unmeasured
from d2lrun.tasks.translation.translate import Translation, translated
from d2lrun.text import record
from d2lrun.training.experiment import Experiment

if TYPE_CHECKING:
    from rich.console import Console

SAMPLES = 4  # translations in a sample, as in the book; their attention is drawn
FEW = 100  # pairs in which so many different sources are looked for


def prepare(data: PairDataset, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Write vocabulary.json; report sentences that are cut, unknown tokens, and if BLEU cannot be measured."""
    record.write(directory, data.sources.vocabulary.tokens, targets=data.targets.vocabulary.tokens)
    for line in facts(data):
        say(line)
    if "test" in data.prints and (remark := unmeasured(data)):
        say(remark)


def check(data: PairDataset, directory: RunDirectory) -> None:
    """Raise Refused if vocabulary.json is damaged; the pairs were compared before."""
    record.read(directory, "tokens", "targets")


def sample(experiment: Experiment[PairDataset, PairSubset], directory: RunDirectory, now: bool) -> None:
    """Write samples.txt; if ``now``, first translate the sample sentences greedily."""
    state = experiment.state
    earlier = [each for each in state.samples or [] if each["epoch"] < state.epoch or not now]
    added = [{"epoch": state.epoch, "text": "; ".join(map(shown, samples_of(experiment)))}] if now else []
    state.samples = [*earlier, *added]
    if state.samples or directory.samples.exists():
        lines = [f"epoch {each['epoch']}: {each['text']}\n" for each in state.samples]
        files.write_atomic(directory.samples, "".join(lines))


def samples_of(experiment: Experiment[PairDataset, PairSubset]) -> list[Translation]:
    """Return translations of the dataset's sample sentences, or of the first of the measured part."""
    data, part = experiment.data, experiment.split.pictured
    if data.samples:
        cases = {source: [target] for source, target in data.samples.items()}
    else:
        cases = dict(islice(replace(part, index=part.index[:FEW]).cases().items(), SAMPLES))
    return translated(experiment.state.model, reader_of(data), cases, experiment.config.train.batch_size)


def shown(translation: Translation) -> str:
    """Return 'go . → va ! (BLEU 1.000)'."""
    return f"{translation.source} → {translation.output} (BLEU {translation.bleu:.3f})"


def describe(experiment: Experiment[PairDataset, PairSubset], directory: RunDirectory) -> dict[str, Any]:
    """Return the sample translations and a remark; write translations.csv of the part that was measured last."""
    found: dict[str, Any] = {
        "translations": [
            {"source": each.source, "output": each.output, "bleu": each.bleu, "right": each.right}
            for each in samples_of(experiment)
        ],
        "note": "; ".join(remarks(experiment)) or None,
    }
    measured = getattr(experiment.task, "translations", {})
    if measured:
        write_translations(directory.path / "translations.csv", next(reversed(measured.values())))
    return found


def remarks(experiment: Experiment[PairDataset, PairSubset]) -> Iterator[str]:
    """Yield what a reader of the metrics must know: unknown tokens of a measured part, and if BLEU is missing."""
    for name, part in experiment.split.measured:
        tokens = tokens_in(part)
        if unknown := int((tokens == 0).sum()):
            yield f"{name}: {unknown / len(tokens):.1%} of the target tokens are not in the vocabulary"
    if experiment.split.measured and (remark := unmeasured(experiment.data)):
        yield remark


def write_translations(path: Path, translations: Sequence[Translation]) -> None:
    """Write a row for each source: its translation, its references, and the book's BLEU."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("source", "translation", "references", "book_bleu"))
    for each in translations:
        writer.writerow((each.source, each.output, " / ".join(each.references), f"{each.bleu:.3f}"))
    files.write_atomic(path, text.getvalue())


def draw(
    experiment: Experiment[PairDataset, PairSubset], directory: RunDirectory, title: str, say: Callable[[str], None]
) -> None:
    """Add the last sample to samples.txt if it is not there; draw attention.png of the first sentences, if any."""
    state = experiment.state
    if not any(each["epoch"] == state.epoch for each in state.samples or []):
        sample(experiment, directory, now=True)
    path = directory.path / "attention.png"
    with optional(path, say):
        reader = reader_of(experiment.data)
        panels = [attention_to(state.model, reader, each.source) for each in samples_of(experiment)]
        draw_attention(path, [panel for panel in panels if panel is not None])


def show(console: Console, data: PairDataset, picture: Path) -> None:
    """Print the counts of the pairs, and draw how long the sentences are."""
    show_pairs(console, data)
    draw_lengths(picture, data)
    say(console, f" lengths     {picture}")
