"""Counts of the pairs of a dataset on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from d2lrun.counts import counted
from d2lrun.report.tables import grid, heading, pairs, show, words
from d2lrun.report.text import say
from d2lrun.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from rich.console import Console

    from d2lrun.tasks.translation.language import Language
    from d2lrun.tasks.translation.pairs import PairDataset

FIRST = 12  # tokens of a vocabulary that are shown
EXAMPLES = 5  # pairs that are shown


def show_pairs(console: Console, data: PairDataset) -> None:
    """Print for each pool its pairs and tokens, the vocabularies, and the first pairs."""
    heading(console, f"{data.name}: {counted(len(data.sources.whole['train']), 'pair')} to train on")
    table = grid("", "pairs", "tokens", "different", "longest", "unknown")
    for pool in data.prints:
        for name, side in (("source", data.sources), ("target", data.targets)):
            table.add_row(words(console, f"{pool} {name}"), *cells(side, pool))
    show(console, table)
    console.print()
    rows = [
        ("source", vocabulary_row(data.sources.vocabulary)),
        ("target", vocabulary_row(data.targets.vocabulary)),
        *(("pair" if not row else "", text) for row, text in enumerate(first_pairs(data))),
    ]
    console.print(pairs(console, rows))
    for line in facts(data):
        say(console, f" {line}")
    say(console, f" from        {data.source}")


def cells(side: Language, pool: str) -> tuple[str, ...]:
    """Return the numbers of a row: pairs, tokens, different tokens, tokens of the longest sentence, unknown share."""
    sentences = side.whole[pool]
    different = len(sentences.items.unique())
    numbers = (len(sentences), len(sentences.items), different, int(sentences.lengths.max()))
    return (*(f"{number:,}" for number in numbers), f"{side.unknown(pool):.1%}")


def vocabulary_row(vocabulary: Vocabulary) -> str:
    """Return the size and the first tokens of a vocabulary."""
    first = " ".join(map(repr, vocabulary.tokens[:FIRST]))
    return f"vocabulary {len(vocabulary):,}: {first} …"


def first_pairs(data: PairDataset) -> Iterator[str]:
    """Yield the first training pairs."""
    for number in range(min(EXAMPLES, len(data.sources.whole["train"]))):
        yield " → ".join(side.sentence("train", number) for side in (data.sources, data.targets))


def facts(data: PairDataset) -> Iterator[str]:
    """Yield remarks: how many sentences are cut, and how many tokens of the test set are unknown."""
    for name, side in (("source", data.sources), ("target", data.targets)):
        for pool in data.prints:
            if cut := side.cut(pool):
                found = counted(cut, f"{name} sentence")
                yield f"{pool}: {found} cut: longer than dataset.steps={data.steps} with <eos>"
        if "test" in data.prints and (share := side.unknown("test")):
            yield f"test: {share:.1%} of all tokens of the {name}s are not in the vocabulary, read as <unk>"
