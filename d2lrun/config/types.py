"""Types of keys: numbers with a range, and names of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

FLOAT32_MAX = 3.4e38  # a larger number is infinite in float32


@dataclass(frozen=True)
class Between:
    """The interval [low, high] without the ends in ``without``. It never contains NaN."""

    low: float = -FLOAT32_MAX
    high: float = FLOAT32_MAX
    without: tuple[float, ...] = ()

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and value not in self.without

    def __str__(self) -> str:
        low = f"{'above' if self.low in self.without else 'at least'} {self.low}"
        high = f"{'below' if self.high in self.without else 'at most'} {self.high}"
        ends = [text for text, end in ((low, self.low), (high, self.high)) if abs(end) < FLOAT32_MAX]
        return " and ".join(ends) or "that is finite"


@dataclass(frozen=True)
class DeviceNames:
    """auto, cpu, mps, cuda, and cuda:1 for one of several GPUs."""

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(r"auto|cpu|mps|cuda(:(0|[1-9]\d?))?", value) is not None

    def __str__(self) -> str:
        return "such as auto, cpu, cuda, cuda:1 or mps"


@dataclass(frozen=True)
class Matching:
    """Texts of a form: a regular expression, and what it means in words."""

    pattern: str
    words: str

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.words


# The name of a network or dataset of the user; in Hydra's grammar it is a text.
OPTION = r"(?!(?i:null|true|false|nan|inf)$)[A-Za-z][\w.-]{0,59}"
Sha256 = Annotated[str, Matching("[0-9a-f]{64}", "of 64 hexadecimal digits")]
Line = Annotated[str, Matching(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,4096}", "of one line")]
Number = Annotated[float, Between()]
Positive = Annotated[float, Between(0, without=(0,))]
NonNegative = Annotated[float, Between(0)]
Fraction = Annotated[float, Between(0, 1, without=(0, 1))]
Probability = Annotated[float, Between(0, 1, without=(1,))]  # of dropping a unit: 1 would drop all units
Count = Annotated[int, Between(1, 10**9)]
Size = Annotated[int, Between(1, 10**6)]  # of a layer, a batch or a window: more does not fit into memory
Depth = Annotated[int, Between(1, 1000)]  # number of layers
Rows = Annotated[int, Between(1, 10**8)]  # of a generated table
Seed = Annotated[int, Between(0, 2**32 - 1)]
Terms = Annotated[int, Between(1, 50)]  # of a polynomial
Rule = Literal["normal", "xavier", "kaiming", "constant", "torch"]
Activation = Literal["relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu"]
