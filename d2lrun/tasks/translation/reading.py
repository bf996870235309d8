"""Pairs of sentences in a text: one pair a line, source and target separated by a tab."""

from __future__ import annotations

import hashlib
import io

from d2lrun.counts import counted
from d2lrun.disk.locate import Say
from d2lrun.errors import Refused
from d2lrun.tasks.translation.pairs import Rows
from d2lrun.tasks.translation.sentences import clean

ONE_IN = 100  # source sentences: the share that is held out


def read_pairs(text: str, where: str, rule: str, say: Say) -> list[tuple[str, str]]:
    """Return the clean pairs of a text with two columns; raises Refused with the line if there are others.

    A third column is ignored: newer downloads of Tatoeba's pairs have the author there. Pairs with an empty sentence
    are left out. Both are reported. Quotes are ordinary characters.
    """
    rows, thirds, empty = [], 0, 0
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not line.strip():
            continue
        columns = line.removesuffix("\n").split("\t")
        if not 2 <= len(columns) <= 3:
            found = "no tab" if len(columns) == 1 else counted(len(columns), "column")
            raise Refused(
                f"{where}, line {number:,}: {found}, wanted source and target with one tab between them",
                "remove tabs inside a sentence, or give a file with tabs between its columns",
            )
        source, target = (clean(column, rule) for column in columns[:2])
        thirds += len(columns) == 3
        if source.strip() and target.strip():
            rows.append((source, target))
        else:
            empty += 1
    if thirds:
        say(f"{where}: the third column of {counted(thirds, 'line')} is ignored")
    if empty:
        say(f"{where}: {counted(empty, 'pair')} with an empty sentence left out")
    return rows


def pools_of(rows: Rows, max_pairs: int | None, held_out: bool) -> dict[str, Rows]:
    """Return the first ``max_pairs`` pairs to train on; if ``held_out``, without the test pairs, which are others.

    The test pairs are those of one in ``ONE_IN`` source sentences, always the same: their number does not depend on
    ``max_pairs``, and no source is in both.
    """
    test = [row for row in rows if is_held_out(row[0])] if held_out else []
    train = [row for row in rows if not is_held_out(row[0])] if held_out else rows
    return {"test": test, "train": train[:max_pairs]}


def is_held_out(source: str) -> bool:
    """Whether a source sentence belongs to the test set: a pure function of its characters."""
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % ONE_IN == 0
