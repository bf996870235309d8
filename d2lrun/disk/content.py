"""What was read or made, as fingerprints: equal content has equal fingerprints, wherever it lies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from torch import Tensor

DIGITS = 16  # of a fingerprint, in hexadecimal


@dataclass(frozen=True)
class Content:
    """A file that was read, or rows that were made: where they came from, and the sha256 of what they hold."""

    origin: str  # a path, an address, or what the rows were made with; for people
    sha256: str


def fingerprint(*parts: str | np.ndarray | Tensor) -> str:
    """The fingerprint of texts and arrays in this order; the type and the shape of an array count, too."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            data: bytes | memoryview = part.encode("utf-8", "surrogatepass")
            kind = "text"
        else:
            array = np.ascontiguousarray(part.cpu().numpy() if isinstance(part, Tensor) else part)
            data = array.data.cast("B") if array.size else b""
            kind = f"{array.dtype.str} {array.shape}"
        digest.update(f"{kind} {len(data)}:".encode())  # so that no two lists of parts are the same bytes
        digest.update(data)
    return digest.hexdigest()[:DIGITS]


def made(origin: str, *arrays: np.ndarray) -> Content:
    """The content of rows that were made."""
    return Content(origin, fingerprint(*arrays))
