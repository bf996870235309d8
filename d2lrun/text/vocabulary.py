"""The tokens that a network knows, with the reserved ones, and their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from d2lrun.disk.content import fingerprint

UNKNOWN = "<unk>"
RESERVED = ("<pad>", "<bos>", "<eos>")  # after <unk>, in vocabularies of separate sequences (book 9.5)
PAD, BOS, EOS = 1, 2, 3  # their numbers


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a network knows, by index; index 0 is <unk>, for every other token."""

    tokens: list[str]

    @classmethod
    def of(cls, counts: Mapping[str, int], min_freq: int = 0, reserved: Sequence[str] = ()) -> Vocabulary:
        """Return <unk>, the ``reserved`` tokens, then all tokens with at least ``min_freq`` occurrences.

        The most frequent tokens are first; ties keep the order of ``counts`` (in a Counter, the first seen).
        """
        common = sorted(counts, key=counts.__getitem__, reverse=True)
        kept = (token for token in common if counts[token] >= min_freq)
        return cls(list(dict.fromkeys([UNKNOWN, *reserved, *kept])))

    @cached_property
    def indices(self) -> dict[str, int]:
        """The index of each token."""
        return {token: index for index, token in enumerate(self.tokens)}

    @property
    def fingerprint(self) -> str:
        """Equal for the same tokens in the same order."""
        return fingerprint(*self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the indices of the tokens; 0 for an unknown token."""
        return [self.indices.get(token, 0) for token in tokens]

    def decode(self, indices: Iterable[int]) -> list[str]:
        """Return the tokens of the indices."""
        return [self.tokens[index] for index in indices]

    def unknown(self, tokens: Iterable[str]) -> list[str]:
        """Return the ``tokens`` that are not in the vocabulary, each once."""
        return [token for token in dict.fromkeys(tokens) if token not in self.indices]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"tokens": self.tokens}

    @classmethod
    def from_data(cls, data: Any) -> Vocabulary:
        """Return the vocabulary of the output of ``to_data``; raises ValueError with the reason for other data."""
        tokens = data.get("tokens") if isinstance(data, dict) else None
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError('wanted {"tokens": [a list of strings]}')
        if tokens[:1] != [UNKNOWN]:
            raise ValueError(f"the first token is not {UNKNOWN}")
        if len(set(tokens)) < len(tokens):
            raise ValueError(f"{Counter(tokens).most_common(1)[0][0]!r} is in it twice")
        return cls(tokens)
