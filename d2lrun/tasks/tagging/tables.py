"""Tables of tagged sentences: the counts of a dataset, and the scores of each label."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from d2lrun.disk import files
from d2lrun.report.tables import grid, heading, pairs, show, words
from d2lrun.report.text import counted, say
from d2lrun.tasks.tagging.facts import cuts, repeated, tag_counts, unknown_share
from d2lrun.tasks.tagging.sentences import FIRST
from d2lrun.training.scores import scores

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from torch import Tensor

    from d2lrun.tasks.tagging.sentences import TaggedDataset

SHOWN = 12  # most labels in the table on the terminal and on the page; tags.csv has all
HEADS = ("words", "precision", "recall", "F1", "baseline F1")


def rows_of(labels: Sequence[str], counts: Tensor, baseline: Tensor) -> list[list[Any]]:
    """Return [label, words, precision, recall, F1, F1 of the baseline] of each label that occurs.

    The most frequent is first; ``counts`` and ``baseline`` are [3, L] of ``counts_of``.
    """
    columns = [counts[0].long(), *scores(counts), scores(baseline)[2]]
    order = counts[0].argsort(descending=True, stable=True).tolist()
    occurs = (counts[:2].sum(dim=0) > 0).tolist()
    return [[labels[place], *(column[place].item() for column in columns)] for place in order if occurs[place]]


def write_tags(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Write the rows of all labels as csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("tag", *(head.replace(" ", "_").lower() for head in HEADS)))
    writer.writerows((label, count, *(f"{value:.6f}" for value in values)) for label, count, *values in rows)
    files.write_atomic(path, text.getvalue())


def table_of(title: str, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the most frequent labels for the terminal and the page."""
    more = "" if len(rows) <= SHOWN else f"; the {SHOWN} most frequent of {len(rows)} tags"
    return {"title": f"{title}{more}", "heads": ["tag", *HEADS], "rows": [list(row) for row in rows[:SHOWN]]}


def show_counts(console: Console, data: TaggedDataset) -> None:
    """Print the number of sentences, words and tags, and what train and test have in common."""
    parts = {name: part for name in ("train", "test") if (part := data.part(name)) is not None}
    counts = {name: tag_counts(part, data.tags) for name, part in parts.items()}
    lengths = torch.cat([part.lengths for part in parts.values()])
    heading(console, f"{data.name}: {counted(len(lengths), 'sentence')}, {counted(int(lengths.sum()), 'word')}")
    table, order = grid("tag", *counts), by_count(list(counts.values()))
    for number in order:
        table.add_row(words(console, data.tags[number]), *(f"{count[number]:,}" for count in counts.values()))
    table.add_section()
    table.add_row("all", *(f"{count.sum():,}" for count in counts.values()))
    show(console, table)
    console.print()
    rows = [
        ("sentences", ", ".join(f"{len(part.index):,} {name}" for name, part in parts.items())),
        ("lengths", f"{int(lengths.min())} to {counted(int(lengths.max()), 'word')}, median {int(lengths.median())}"),
        ("words", f"{len(data.words) - FIRST:,} different, {counted(len(order), 'tag')}"),
        *(("cut", line) for line in cuts(data)),
    ]
    if "test" in parts:
        train, test = parts["train"], parts["test"]
        share, twice = unknown_share(train, test), len(repeated(train, test))
        rows.append(
            ("unknown", f"{share:.1%} of the {counted(test.size, 'word')} of the test part are not in training")
        )
        rows.append(
            ("repeated", f"{twice:,} of the {counted(len(test.index), 'sentence')} of the test part in training")
        )
    console.print(pairs(console, rows))
    say(console, f" from        {data.source}")


def by_count(counts: Sequence[Tensor]) -> list[int]:
    """Return the numbers of the tags that occur, the most frequent first."""
    used = torch.stack(list(counts)).sum(dim=0)
    return [number for number in used.argsort(descending=True, stable=True).tolist() if used[number]]
