"""Translate parts of a dataset, or sentences of the user. N sentences, S source tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from d2lrun.tasks.translation.bleu import book_bleu, corpus_bleu, has_sacrebleu
from d2lrun.tasks.translation.decode import Decoded, greedy
from d2lrun.tasks.translation.language import encode
from d2lrun.tasks.translation.sentences import clean, sentence_of, tokens_of
from d2lrun.text.ragged import Ragged
from d2lrun.text.vocabulary import EOS, Vocabulary
from d2lrun.training.bylength import by_length


@dataclass(frozen=True)
class Reader:
    """How sentences become numbers and numbers sentences: what a run knows without its data."""

    sources: Vocabulary
    targets: Vocabulary
    kinds: tuple[str, str]  # of source and target tokens
    rule: str
    steps: int | None  # most tokens of a sentence
    width: int | None  # to which all sentences are padded; None: the longest of a batch

    def tokens(self, sentence: str) -> list[str]:
        """Return the tokens of a source sentence of the user."""
        return tokens_of(clean(sentence, self.rule), self.kinds[0])

    def padded(self, sentences: Sequence[Sequence[str]], device: torch.device) -> Tensor:
        """Return the tokens of sources as numbers [N, S] on ``device``, with <eos>, cut to the steps."""
        rows = [[*encode(self.sources, tokens), EOS][: self.steps] for tokens in sentences]
        return Ragged.of(rows).to(device).padded(torch.arange(len(rows)), self.width)

    def words(self, decoded: Decoded) -> list[str]:
        """Return the tokens of a translation."""
        return self.targets.decode(decoded.tokens)

    def text(self, decoded: Decoded) -> str:
        """Return a translation as text."""
        return sentence_of(self.words(decoded), self.kinds[1])


@dataclass(frozen=True)
class Translation:
    """A source sentence and its translation, with references as they were read; there may be none."""

    source: str
    output: str
    tokens: Sequence[str]  # of the translation
    references: Sequence[str]
    wanted: Sequence[Sequence[str]]  # the tokens of each reference

    @property
    def bleu(self) -> float:
        """The book's BLEU for the best of the references."""
        return max((book_bleu(self.tokens, reference) for reference in self.wanted), default=0.0)

    @property
    def right(self) -> bool:
        """Whether the translation is one of the references."""
        return self.output in self.references


def translated(model: nn.Module, reader: Reader, cases: Mapping[str, Sequence[str]], size: int) -> list[Translation]:
    """Return a greedy translation of each clean source, in batches of ``size``; ``cases`` has the references."""
    sources = [tokens_of(source, reader.kinds[0]) for source in cases]
    outputs: dict[int, Decoded] = {}
    device = next(model.parameters()).device
    lengths = torch.tensor([len(source) for source in sources])
    for batch in by_length(torch.arange(len(sources)), lengths).split(size):
        numbers = batch.tolist()
        found = greedy(model, reader.padded([sources[number] for number in numbers], device), reader.steps)
        outputs |= dict(zip(numbers, found, strict=True))
    return [
        Translation(
            source,
            reader.text(outputs[number]),
            reader.words(outputs[number]),
            targets,
            [tokens_of(target, reader.kinds[1]) for target in targets],
        )
        for number, (source, targets) in enumerate(cases.items())
    ]


def measured(translations: Sequence[Translation]) -> Iterator[tuple[str, float]]:
    """Yield sacrebleu's BLEU, if it is installed, and the mean of the book's BLEU. Each source counts once."""
    if has_sacrebleu():
        yield "bleu", corpus_bleu([each.tokens for each in translations], [each.wanted for each in translations])
    yield "book_bleu", sum(each.bleu for each in translations) / len(translations)
