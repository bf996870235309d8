"""The book's way to train a language model on text, written anew from what it does (book 8.3.4, 8.5, 8.6).

The corpus is a Python list; a generator cuts it into batches from a random offset; each batch becomes one-hot
vectors; the norm of the gradient is summed up parameter by parameter; the sums are Python floats, read after every
batch. In its favour nothing is drawn or predicted. B batch, T time steps, V tokens of the vocabulary, D hidden units.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from math import exp
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Network(nn.Module):
    """Tokens [B, T] -> logits [T·B, V], and the state of torch's recurrent layer."""

    def __init__(self, layer: type[nn.RNNBase], classes: int, hidden: int):
        super().__init__()
        self.classes = classes
        self.layer, self.head = layer(classes, hidden), nn.Linear(hidden, classes)

    def forward(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        inputs = F.one_hot(tokens.T, self.classes).float()  # [T, B, V]
        outputs, state = self.layer(inputs, state)  # [T, B, D]
        return self.head(outputs.reshape(-1, outputs.shape[-1])), state


class TextBook:
    """A network that is trained the book's way on a list of tokens, with the state carried from batch to batch."""

    def __init__(
        self,
        model: nn.Module,
        tokens: list[int],
        size: int,
        steps: int,
        lr: float,
        longest: float,
        limit_batches: int | None,
        device: torch.device,
    ):
        self.model, self.device = model.to(device), device
        self.tokens, self.size, self.steps = tokens, size, steps  # N, B, T
        self.longest, self.limit = longest, limit_batches  # of the gradient; of an epoch
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels [B, T] of an epoch: row i of a batch goes on where row i of the one before stopped."""
        offset = random.randint(0, self.steps)
        used = (len(self.tokens) - offset - 1) // self.size * self.size
        inputs = torch.tensor(self.tokens[offset : offset + used]).reshape(self.size, -1)
        labels = torch.tensor(self.tokens[offset + 1 : offset + 1 + used]).reshape(self.size, -1)
        for start in range(0, inputs.shape[1] // self.steps * self.steps, self.steps):
            yield inputs[:, start : start + self.steps], labels[:, start : start + self.steps]

    def epoch(self) -> float:
        """Train once on every batch; returns the perplexity."""
        state, loss_sum, count = None, 0.0, 0.0
        for inputs, labels in islice(self.batches(), self.limit):
            if state is not None:
                for part in state if isinstance(state, tuple) else (state,):
                    part.detach_()
            targets = labels.T.reshape(-1).to(self.device)
            logits, state = self.model(inputs.to(self.device), state)
            loss = F.cross_entropy(logits, targets)
            self.optimizer.zero_grad()
            loss.backward()
            clip(self.model, self.longest)
            self.optimizer.step()
            loss_sum += float(loss.detach() * targets.numel())
            count += float(targets.numel())
        return exp(loss_sum / count)


def clip(model: nn.Module, longest: float) -> None:
    """Shorten the gradient, all parameters together, to that length."""
    gradients = [parameter.grad for parameter in model.parameters()]
    norm = torch.sqrt(sum(torch.sum(gradient**2) for gradient in gradients))
    if norm > longest:
        for gradient in gradients:
            gradient[:] *= longest / norm
