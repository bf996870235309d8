"""Tables of a text on the terminal: its lines, tokens, and most frequent words."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from d2lrun.report.tables import grid, heading, pairs, show, words
from d2lrun.report.text import counted, say, size

if TYPE_CHECKING:
    from rich.console import Console

    from d2lrun.tasks.language_model.facts import Facts
    from d2lrun.tasks.language_model.stream import TextDataset

FIRST = 10  # tokens of a vocabulary that are shown


def show_facts(console: Console, dataset: TextDataset, facts: Facts) -> None:
    """Print the statistics of a text, and its most frequent words, bigrams and trigrams."""
    heading(console, f"{dataset.name}: {counted(facts.tokens, 'token')} ({dataset.kind})")
    used = "all" if len(dataset.tokens) == facts.tokens else f"the first {len(dataset.tokens):,}"
    rows = [
        ("lines", f"{facts.lines:,}, {facts.empty:,} of them empty"),
        ("tokens", f"{facts.tokens:,} of {counted(facts.types, 'type')}; {used} are used"),
        ("vocabulary", f"{facts.vocabulary:,}: {' '.join(map(repr, dataset.vocabulary.tokens[:FIRST]))} …"),
        ("words", f"{facts.words:,}"),
        *((f"{name}", f"{counted(grams.types, 'type')}") for name, grams in facts.grams.items()),
        ("memory", size(dataset.tokens.nbytes)),
    ]
    console.print(pairs(console, rows))
    console.print()
    table = grid("", *facts.grams)
    for place, row in enumerate(zip_longest(*(grams.commonest for grams in facts.grams.values())), 1):
        table.add_row(str(place), *(words(console, f"{cell[0]} {cell[1]:,}" if cell else "") for cell in row))
    show(console, table)
    console.print()
    say(console, f" from        {dataset.source}")
