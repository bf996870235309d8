"""Random numbers of an example: a pure function of (seed, epoch, example), on any device and in any batch.

B batch. The numbers come from a counter that is mixed (SplitMix64, Steele et al. 2014), and not from a generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

WORD = 1 << 64
STEP = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
BITS = 24  # of a uniform number: all that a float32 holds


def uniform(index: Tensor, seed: int, epoch: int, places: Sequence[int]) -> Tensor:
    """Return the numbers from 0 up to 1 at these ``places`` of each example of ``index`` [B], float32 [n, B]."""
    start = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    steps = torch.tensor(places, dtype=torch.int64, device=index.device).unsqueeze(1) * signed(STEP)  # [n, 1]
    state = index * signed(STEP * 1009 % WORD) + steps + signed(start)  # [n, B]
    for shift, factor in ROUNDS:
        state = (state ^ shifted(state, shift)) * signed(factor)
    state = state ^ shifted(state, 31)
    return shifted(state, 64 - BITS).float() / (1 << BITS)


def shifted(x: Tensor, bits: int) -> Tensor:
    """Return x >> bits of int64 numbers as if they had no sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def signed(number: int) -> int:
    """Return the int64 with the bits of a number from 0 up to 2⁶⁴."""
    return number - WORD if number >= WORD // 2 else number
