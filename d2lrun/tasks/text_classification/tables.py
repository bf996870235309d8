"""The counts of labelled texts on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from d2lrun.counts import counted
from d2lrun.report.classes import show_sizes
from d2lrun.report.tables import pairs
from d2lrun.report.text import say

if TYPE_CHECKING:
    from rich.console import Console

    from d2lrun.tasks.text_classification.facts import Facts
    from d2lrun.tasks.text_classification.texts import LabelledTexts

FIRST = 10  # tokens of a vocabulary that are shown


def show_facts(console: Console, data: LabelledTexts, facts: Facts) -> None:
    """Print the number of texts of each class, their lengths, the vocabulary and what is special."""
    show_sizes(console, data.name, data.classes, *(data.labels[name].cpu() for name in ("train", "test")))
    lengths = data.raw["train"].lengths.double()
    middle, most = (lengths.quantile(share).item() for share in (0.5, 0.95))
    unknown = ", ".join(f"{share:.1%} in {name}" for name, share in facts.unknown.items())
    tokens = data.vocabulary.tokens
    words = " ".join(map(repr, tokens[:FIRST])) + (" …" if len(tokens) > FIRST else "")
    rows = [
        (
            "lengths",
            f"median {middle:.0f}, 95 % up to {most:.0f}, longest {lengths.max():.0f}, in tokens ({data.kind})",
        ),
        ("vocabulary", f"{len(tokens):,} of {counted(len(data.types), 'type')}: {words}"),
        ("unknown", f"{unknown} (<unk>)"),
        ("repeated", f"{counted(facts.repeated, 'training text')} equal to an earlier one"),
        *(("note", remark) for remark in facts.remarks),
    ]
    console.print(pairs(console, rows))
    say(console, f" from        {data.source}")
