"""Multilayer perceptron (book 4.2, 4.3), with optional dropout between its layers (book 4.6)."""

from __future__ import annotations

from math import prod

from torch import nn

from d2lrun.models.activations import ACTIVATIONS


class MLP(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes]; features [B, D] or windows [B, T] -> predictions [B, 1].

    ``dropout`` is one probability for all hidden layers or one for each; at 0 there is no dropout layer. If ``share``,
    all hidden layers of the same shape are one layer with shared parameters (book 5.2).
    """

    def __init__(
        self,
        *,
        inputs: tuple[int, ...],
        classes: int,
        hidden: list[int],
        activation: str,
        dropout: list[float],
        share: bool,
    ):
        layers: list[nn.Module] = [nn.Flatten()]  # [B, C·H·W] or [B, D]
        made: dict[tuple[int, int], nn.Linear] = {}
        width = prod(inputs)
        drops = dropout * len(hidden) if len(dropout) == 1 else dropout
        for units, drop in zip(hidden, drops, strict=True):
            linear = made.get((width, units)) if share else None
            made[width, units] = linear = linear or nn.Linear(width, units)
            layers += [linear, ACTIVATIONS[activation]()]  # [B, units]
            layers += [nn.Dropout(drop)] if drop else []
            width = units
        super().__init__(*layers, nn.Linear(width, classes))
