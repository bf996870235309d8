"""Embeddings of tokens, and of words with their spelling, so that an unknown word is not without a meaning.

Shapes: T time steps, B batch, C characters of a word, E features of a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.models.inputs import Sequences, Spelled
from d2lrun.text.vocabulary import PAD

CHARACTER = 32  # features of a character
FILTERS = 64  # features of a word's spelling
WINDOW = 3  # characters that a filter sees at a time
STD = 0.1  # of the initial vectors: with torch's 1, a rare word is mostly noise for many epochs


def embedding_of(inputs: Sequences, embedding: int) -> tuple[nn.Module, int]:
    """Return the embedding of the tokens of ``inputs``, and the number of features of its vectors."""
    if isinstance(inputs, Spelled):
        return SpelledEmbedding(inputs, embedding), embedding + FILTERS
    return nn.Embedding(inputs.vocabulary, embedding), embedding


class SpelledEmbedding(nn.Module):
    """Words with their characters int64 [T, B, 1 + C] -> vectors [T, B, E + FILTERS]: of the word, of its spelling.

    The vector of a spelling has, for each filter, its maximum over the places of the word (Santos & Zadrozny 2014).
    Padding characters change no vector: a filter sees zeros there, as it does before the first character.
    """

    def __init__(self, inputs: Spelled, embedding: int):
        super().__init__()
        self.words = nn.Embedding(inputs.vocabulary, embedding)
        self.characters = nn.Embedding(inputs.characters, CHARACTER)
        for vectors in (self.words, self.characters):
            nn.init.normal_(vectors.weight, std=STD)
        self.filters = nn.Conv1d(CHARACTER, FILTERS, WINDOW, padding=WINDOW // 2)

    def forward(self, tokens: Tensor) -> Tensor:
        spelling = tokens[:, :, 1:].flatten(0, 1)  # [T·B, C]
        there = (spelling != PAD).unsqueeze(1)  # [T·B, 1, C]
        found = F.relu(self.filters(self.characters(spelling).transpose(1, 2) * there)) * there  # [T·B, FILTERS, C]
        spelled = found.amax(dim=2).view(*tokens.shape[:2], FILTERS)
        return torch.cat((self.words(tokens[:, :, 0]), spelled), dim=2)
