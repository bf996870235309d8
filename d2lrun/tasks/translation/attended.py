"""The attention of a translated sentence. S source tokens, T target tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from d2lrun.tasks.translation.decode import Decoded, beam_search
from d2lrun.tasks.translation.translate import Reader
from d2lrun.text.vocabulary import EOS, RESERVED

END = RESERVED[EOS - 1]


@dataclass(frozen=True)
class Attended:
    """How much each step of a translation attended to each source token."""

    source: list[str]  # S tokens, <eos> too
    target: list[str]  # T tokens, perhaps with <eos>
    weights: Tensor  # [T, S], on the CPU


def attention_to(
    model: nn.Module, reader: Reader, sentence: str, beam: int = 1, alpha: float = 0.75
) -> Attended | None:
    """Translate a sentence and return the attention of each step; None if the network has none."""
    tokens = reader.tokens(sentence)
    device = next(model.parameters()).device
    return attended(reader, tokens, beam_search(model, reader.padded([tokens], device), beam, alpha, reader.steps))


def attended(reader: Reader, tokens: list[str], decoded: Decoded) -> Attended | None:
    """Return the attention of a translation to the ``tokens`` of its source; None if there is none."""
    if not decoded.weights:
        return None
    source = [*tokens, END][: reader.steps]
    target = [*reader.words(decoded), END][: len(decoded.weights)]
    return Attended(source, target, torch.stack(decoded.weights)[:, : len(source)].float().cpu())
