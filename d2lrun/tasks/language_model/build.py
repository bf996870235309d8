"""Make a dataset from a text: clean it, split it into tokens, and number them by its vocabulary. N tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.tasks.language_model.stream import TextDataset, unreadable
from d2lrun.text.corpus import clean, number
from d2lrun.text.vocabulary import Vocabulary


def build(
    name: str,
    text: str,
    source: str,
    *,
    kind: str,
    rule: str,
    min_freq: int,
    reserved: Sequence[str],
    max_tokens: int | None,
    contents: Sequence[Content] = (),
    read: Callable[[], str] = unreadable,
) -> TextDataset:
    """Return the dataset of a text: the vocabulary of the whole text, and its first ``max_tokens`` tokens.

    Raises Refused if no token is left after cleaning.
    """
    lines = clean(text, rule)
    counts, stream, begins = number(lines, kind)
    if not counts:
        other = "dataset.rule=none keeps every letter of every language" if rule == "letters" else "give another text"
        raise Refused(f"{source}: no token is left of it (kind {kind}, rule {rule}), wanted at least one", other)
    vocabulary = Vocabulary.of(counts, min_freq, reserved)
    tokens = np.array(vocabulary.encode(counts), np.int32)[stream[:max_tokens]]  # [N]
    whole = "".join(lines)
    if begins is not None:
        begins = np.append(begins, np.int32(len(whole)))
    text = fingerprint(whole)
    cut = fingerprint(text, vocabulary.fingerprint, kind if begins is None else begins)
    return TextDataset(
        name,
        vocabulary,
        torch.from_numpy(tokens),
        source,
        kind,
        rule,
        begins=None if begins is None else begins[: len(tokens) + 1],
        cut_fingerprint=cut,
        # Unknown tokens lose information, so the fingerprint includes the vocabulary.
        text_fingerprint=text if counts.keys() <= set(vocabulary.tokens) else cut,
        contents=tuple(contents),
        read=read,
    )
