"""The IDX format of MNIST and similar datasets: a magic number, the sizes as big-endian int32, then the numbers."""

from __future__ import annotations

import math

import numpy as np

from d2lrun.counts import counted

UNSIGNED_BYTE = 8  # the code for the type of the numbers


def parse(content: bytearray, dimensions: int) -> np.ndarray:
    """Return ``content`` as a uint8 array with this number of ``dimensions``; it shares the memory.

    Raises ValueError with the reason.
    """
    magic, wanted = bytes(content[:4]), bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if magic != wanted:
        kind = f"IDX, unsigned bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}"
        raise ValueError(f"it begins with {magic.hex() or 'nothing'}, wanted {wanted.hex()} ({kind})")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"{counted(len(content), 'byte')}, wanted at least a header of {header}")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4)]
    size = header + math.prod(shape)
    if len(content) != size:
        sizes = " × ".join(map(str, shape))
        raise ValueError(f"{counted(len(content), 'byte')}, but its header says {sizes}, which makes {size:,}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
