"""What decoding asks of an encoder–decoder: one step at a time. B sequences, S source and T target tokens, K outputs.

A network of ``inputs.Pairs`` is a Translator. Its state is a type of its own: everything that the next step needs, for
B sequences that do not depend on each other.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Translator(Protocol):
    """An encoder–decoder. Sources and targets are int64 with PAD after the end of each sequence."""

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the logits [B, T, K] of the token after each of ``target`` [B, T], which begins with BOS."""

    def start(self, source: Tensor) -> Any:
        """Read ``source`` [B, S] and return the state before the first step."""

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the logits [B, K] of the token after ``tokens`` [B], and the state after them."""

    def select(self, state: Any, index: Tensor) -> Any:
        """Return the state of the sequences ``index`` [N], which may leave out, repeat and reorder them."""

    def weights(self, state: Any) -> Tensor | None:
        """Return how much the last step attended to each source token [B, S]; None without attention.

        A network of several attention heads or layers returns their mean.
        """
