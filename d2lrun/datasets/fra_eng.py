"""English sentences with French translations (book 9.5; Tatoeba, CC BY 2.0), the book's copy: 167,130 pairs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

from d2lrun.counts import counted
from d2lrun.disk.content import Content
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.tasks.translation.pairs import PairDataset, build
from d2lrun.tasks.translation.reading import pools_of
from d2lrun.tasks.translation.sentences import clean

FILE, INSIDE = "fra-eng.zip", "fra-eng/fra.txt"
FILES = Files(
    dataset="fra-eng",
    sums={FILE: "fa96382b2c8b609e1662654c1e6e6baeb8d30b3bf63dfb4a5a261cc36347df13"},
    limit=8 << 20,  # it has 3,420,152 bytes
    suffix="",
    instead="give dataset=arithmetic, which is made, or dataset=pairs dataset.path=FILE",
    other="give dataset=pairs dataset.path=fra.txt, for another download",
)
SAMPLES = {  # the book's; "he's calm ." is in none of its 601 pairs
    "go .": "va !",
    "i lost .": "j'ai perdu .",
    "he's calm .": "il est calme .",
    "i'm home .": "je suis chez moi .",
}


def load(
    dir: str | None,
    mirrors: Sequence[str],
    source_kind: str,
    target_kind: str,
    max_pairs: int | None,
    held_out: bool,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
    **settings: Any,
) -> PairDataset:
    """Return the dataset on the CPU; ``settings`` are passed to ``build``. Raises Refused.

    As in the book, the text is cleaned as a whole, and lines without exactly two columns are left out.
    """
    found = locate(files, dir, mirrors, say, progress)[FILE]
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        text = archive.read(INSIDE).decode("utf-8")
    text = text if held_out else beginning(text, max_pairs)
    lines = [line.split("\t") for line in clean(text, "book").split("\n")]
    rows = [(line[0], line[1]) for line in lines if len(line) == 2]
    if left := sum(len(line) != 2 for line in lines if line != [""]):
        say(f"{found.origin}: {counted(left, 'line')} without two columns left out")
    return build(
        "fra-eng",
        pools_of(rows, max_pairs, held_out),
        found.origin,
        (source_kind, target_kind),
        rule="book",
        metric="perplexity",
        samples=SAMPLES,
        contents=(Content(found.origin, found.sha256),),
        **settings,
    )


def beginning(text: str, pairs: int | None) -> str:
    """Return the lines of a text up to so many with two columns: to clean all of them takes seconds."""
    lines = text.split("\n")
    places = [place for place, line in enumerate(lines) if line.count("\t") == 1]
    return text if pairs is None or len(places) <= pairs else "\n".join(lines[: places[pairs - 1] + 1])
