"""Translate sentences of the user with a finished run, by its files alone: its data are not needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from d2lrun.config.keys import Config
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.models.inputs import Pairs
from d2lrun.tasks.translation.attended import attention_to
from d2lrun.tasks.translation.decode import beam_search, greedy
from d2lrun.tasks.translation.pictures import draw_attention
from d2lrun.tasks.translation.translate import Reader
from d2lrun.text import record
from d2lrun.text.vocabulary import Vocabulary
from d2lrun.training.trained import trained

PICTURED = 4  # sentences whose attention is drawn


class Translator:
    """The network of a run, with its vocabularies."""

    def __init__(self, directory: RunDirectory, config: Config, beam: int, alpha: float):
        self.reader = reader_of(directory, config)
        inputs = Pairs(len(self.reader.sources), self.reader.width)
        self.model = trained(directory, config, inputs, len(self.reader.targets))
        self.device = next(self.model.parameters()).device
        self.beam, self.alpha, self.size = beam, alpha, config.train.batch_size

    def unknown(self, sentences: Sequence[str]) -> list[str]:
        """Return the tokens of the sentences that the run does not know, each once."""
        tokens = (token for sentence in sentences for token in self.reader.tokens(sentence))
        return self.reader.sources.unknown(tokens)

    def translations(self, sentences: Sequence[str]) -> Iterator[str]:
        """Yield the translation of each sentence; an empty sentence stays empty."""
        for start in range(0, len(sentences), self.size):
            tokens = [self.reader.tokens(sentence) for sentence in sentences[start : start + self.size]]
            sources = self.reader.padded(tokens, self.device)
            if self.beam == 1:
                found = iter(greedy(self.model, sources, self.reader.steps))
            else:
                rows = (self.reader.padded([each], self.device) for each in tokens)
                found = (beam_search(self.model, row, self.beam, self.alpha, self.reader.steps) for row in rows)
            yield from (self.reader.text(each) if words else "" for words, each in zip(tokens, found, strict=True))

    def draw(self, sentences: Sequence[str], picture: Path) -> None:
        """Draw the attention of the first sentences; raises Refused if the network has none."""
        first = islice((sentence for sentence in sentences if sentence.strip()), PICTURED)
        panels = [attention_to(self.model, self.reader, each, self.beam, self.alpha) for each in first]
        if None in panels:
            raise Refused(
                f"picture={picture}: this network has no attention", "train one with model.attention=additive"
            )
        draw_attention(picture, [panel for panel in panels if panel is not None])


def reader_of(directory: RunDirectory, config: Config) -> Reader:
    """Return how sentences become numbers, by vocabulary.json and the config of a run; raises Refused.

    A dataset without a key for the kind of tokens has characters, without a rule that of the book.
    """
    sources, targets = map(Vocabulary, record.read(directory, "tokens", "targets"))
    given: Any = config.dataset
    kinds = (getattr(given, "source_kind", "char"), getattr(given, "target_kind", "char"))
    steps = getattr(given, "steps", None)
    width = steps if given.batches == "fixed" else None
    return Reader(sources, targets, kinds, getattr(given, "rule", "book"), steps, width)
