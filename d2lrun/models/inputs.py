"""What a network is given. B batch, T tokens of the longest sequence in the batch.

A tuple is the shape of one example: (C, H, W) of images, (D,) of the features of a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

# The mean and the standard deviation of each channel of the images that pretrained networks are given.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
COLOURED = "dataset.channels=3, or dataset.colours=3 for a folder"  # the hint for a network that needs three channels
LENGTH = 12  # tokens of an example sequence
FIRST = 4  # the first token that is not reserved


@dataclass(frozen=True)
class Stream:
    """A stream of tokens in windows int64 [B, T], each the continuation of the window before it.

    The network also takes the state after the window before, or None. It returns logits [B, T, K] of the token after
    each, and the state after the window.
    """

    steps: int  # T

    def example(self) -> tuple[Tensor, ...]:
        """Return the arguments of the network for a batch of one window."""
        return (torch.zeros(1, self.steps, dtype=torch.int64),)


@dataclass(frozen=True)
class Sequences:
    """Separate sequences of tokens, int64 [B, T], with PAD after the end of each.

    The network returns logits for each sequence [B, K], or if ``each`` for each token [B, T, K].
    """

    vocabulary: int
    each: bool = False

    def example(self) -> tuple[Tensor, ...]:
        """Return the arguments of the network for a batch of one sequence."""
        return (torch.full((1, LENGTH), min(FIRST, self.vocabulary - 1)),)


@dataclass(frozen=True)
class Spelled(Sequences):
    """Separate sequences of words with their spelling, int64 [B, T, 1 + C]: the word, then its first C characters.

    After the last word, and after the last character of a word, there is PAD. ``characters`` is the number of
    characters in their vocabulary, ``spelled`` is C.
    """

    characters: int = 0
    spelled: int = 1

    def example(self) -> tuple[Tensor, ...]:
        """Return the arguments of the network for a batch of one sequence."""
        word = super().example()[0].unsqueeze(2)  # [1, T, 1]
        return (torch.cat((word, word.clamp(max=self.characters - 1).expand(-1, -1, self.spelled)), dim=2),)


@dataclass(frozen=True)
class Pairs:
    """Source sequences and, for each, the target sequence so far: two tensors int64 [B, S] and [B, T] with PAD.

    The network is a ``translator.Translator``: it returns logits [B, T, K] of the token after each target token.
    ``vocabulary`` is that of the source. All batches have S = T = ``steps``; None: their longest sequence.
    """

    vocabulary: int
    steps: int | None = None

    def example(self) -> tuple[Tensor, ...]:
        """Return the arguments of the network for a batch of one pair."""
        token = torch.full((1, LENGTH), FIRST)
        return token.clamp(max=self.vocabulary - 1), token - 1


Inputs: TypeAlias = "tuple[int, ...] | Stream | Sequences | Pairs"  # Spelled is one of Sequences


def outputs_of(inputs: Inputs, outputs: int) -> tuple[int | None, ...]:
    """Return the shape of a network's outputs for ``example_of(inputs)``; None is any number."""
    each = not isinstance(inputs, (tuple, Sequences)) or (isinstance(inputs, Sequences) and inputs.each)
    return (1, None, outputs) if each else (1, outputs)


def example_of(inputs: Inputs) -> tuple[Tensor, ...]:
    """Return the arguments of a network for a batch of one example."""
    return (torch.zeros(1, *inputs),) if isinstance(inputs, tuple) else inputs.example()
