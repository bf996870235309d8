"""A text becomes a dataset: cleaned, cut into tokens, and numbered by its vocabulary. N tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.tasks.language_model.corpus import Vocabulary, clean, number
from d2lrun.tasks.language_model.stream import TextDataset, unreadable


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
    """The dataset that a text makes: its vocabulary is that of all of it, its tokens are the first ``max_tokens``.

    Raises Refused where cleaning leaves nothing.
    """
    lines = clean(text, rule)
    counts, stream, begins = number(lines, kind)
    if not counts:
        other = "dataset.rule=none keeps every letter of every language" if rule == "letters" else "give another text"
        raise Refused(f"{source}: no token is left of it (kind {kind}, rule {rule}), wanted one at least", other)
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
        # A text of which tokens are unknown says less: only with the same vocabulary it is the same.
        text_fingerprint=text if counts.keys() <= set(vocabulary.tokens) else cut,
        contents=tuple(contents),
        read=read,
    )
