"""IMDb: 25,000 + 25,000 film reviews, half of them positive (book 15.1; Maas et al. 2011).

The archive is read as it is, file by file; nothing is unpacked to disk. The book's tokens are words at white space,
with case and punctuation, that occur at least five times in the training part: 49,346 with <unk>, here also <pad>.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Sequence

from d2lrun.counts import counted
from d2lrun.disk.content import Content
from d2lrun.disk.download import Found
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.errors import Refused
from d2lrun.tasks.text_classification.texts import Labelled, LabelledTexts, build

ARCHIVE = "aclImdb_v1.tar.gz"
FILES = Files(
    dataset="imdb",
    sums={ARCHIVE: "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"},
    limit=100 << 20,  # it has 84,125,825 bytes
    archive=True,
    suffix="",
    instead="give dataset=reviews-zh or dataset=labelled-text",
)
MEMBER = re.compile(r"aclImdb/(train|test)/(neg|pos)/(\d{1,9})_\d{1,2}\.txt")
CLASSES = {"neg": "negative", "pos": "positive"}
LARGEST = 1 << 20  # most bytes of a review
MOST = 1 << 30  # most bytes of the unpacked archive


def load(
    dir: str | None,
    mirrors: Sequence[str],
    kind: str,
    rule: str,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> LabelledTexts:
    """Return the dataset on the CPU; raises Refused."""
    found = locate(files, dir, mirrors, say, progress)[ARCHIVE]
    parts = reviews(found)
    return build(
        "imdb",
        parts["train"],
        parts["test"],
        found.origin,
        contents=[Content(found.origin, found.sha256)],
        kind=kind,
        rule=rule,
    )


def reviews(found: Found) -> dict[str, Labelled]:
    """Return the texts of "train" and "test" in the archive, negative ones first, by number; raises Refused."""
    rows: dict[str, list[tuple[str, int, str]]] = {"train": [], "test": []}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(found.content), mode="r|gz") as archive:
            for member in archive:
                size += member.size
                name = MEMBER.fullmatch(member.name)
                if size > MOST or (name and member.size > LARGEST):
                    raise faulty(found, f"{member.name} has {counted(member.size, 'byte')}, {size:,} with those before")
                if name and member.isreg():
                    part, label, number = name.groups()
                    rows[part].append((label, int(number), archive.extractfile(member).read().decode("utf-8")))  # type: ignore[union-attr]
    except (tarfile.TarError, zlib.error, EOFError, OSError, UnicodeDecodeError) as error:
        raise faulty(found, str(error)) from error
    for part, each in rows.items():
        if {label for label, _, _ in each} != set(CLASSES):
            raise faulty(found, f"wanted files aclImdb/{part}/neg/0_1.txt and aclImdb/{part}/pos/0_10.txt")
        each.sort(key=lambda row: row[:2])
    return {
        part: Labelled([text for _, _, text in each], [CLASSES[label] for label, _, _ in each])
        for part, each in rows.items()
    }


def faulty(found: Found, what: str) -> Refused:
    """Return the Refused for an archive of another form."""
    return Refused(f"{found.origin}: {what}", f"wanted: {ARCHIVE} of ai.stanford.edu/~amaas/data/sentiment")
