"""Fingerprints of data that were read or generated: equal content has equal fingerprints, independent of its path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

DIGITS = 16  # of a fingerprint, in hexadecimal


@dataclass(frozen=True)
class Content:
    """A file that was read, or rows that were generated: their origin, and the sha256 of their content."""

    origin: str  # for messages: a path, a URL, or how the rows were generated
    sha256: str
    pieces: Mapping[str, str] = field(default_factory=dict)  # of a folder: what each part of it holds, for messages


def fingerprint(*parts: str | np.ndarray | Tensor) -> str:
    """Return the fingerprint of texts and arrays in this order, including the type and shape of each array."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            data: bytes | memoryview = part.encode("utf-8", "surrogatepass")
            kind = "text"
        else:
            array = np.ascontiguousarray(part.cpu().numpy() if isinstance(part, Tensor) else part)
            data = array.data.cast("B") if array.size else b""
            kind = f"{array.dtype.str} {array.shape}"
        digest.update(f"{kind} {len(data)}:".encode())  # so two different lists of parts never give the same bytes
        digest.update(data)
    return digest.hexdigest()[:DIGITS]


def made(origin: str, *arrays: np.ndarray) -> Content:
    """Return the Content of generated rows."""
    return Content(origin, fingerprint(*arrays))
