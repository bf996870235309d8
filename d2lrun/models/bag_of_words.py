"""A bag of words: which tokens a text has, in no order. The baseline of every network that reads texts.

B batch, T tokens of the longest text, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from d2lrun.models.inputs import Inputs, Sequences
from d2lrun.text.vocabulary import PAD


class BagOfWords(nn.Module):
    """Tokens int64 [B, T], with PAD after each text -> logits [B, classes]: a logistic regression on counts.

    Each token has a weight for each class, at first 0. The logits are a bias, and the sum of the weights of the tokens
    divided by the root of their number, so that long texts do not dominate.
    """

    def __init__(self, *, inputs: Inputs, classes: int):
        super().__init__()
        if not isinstance(inputs, Sequences) or inputs.each:
            raise ValueError("a bag of words reads whole texts and gives one output for each")
        self.weights = nn.Embedding(inputs.vocabulary, classes)
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, tokens: Tensor) -> Tensor:
        there = tokens != PAD  # [B, T]
        summed = (self.weights(tokens) * there.unsqueeze(2)).sum(dim=1)  # [B, K]
        return summed / there.sum(dim=1, keepdim=True).clamp(min=1).sqrt() + self.bias
