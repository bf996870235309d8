"""Runs compared strictly: torch.equal takes 1.0 in float64 for 1.0 in float32, and 0.0 for -0.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def same_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether the tensors of two state dicts have the same types, shapes and bits; both must have the same names."""
    assert one.keys() == other.keys()
    return all(is_same(tensor, other[name]) for name, tensor in one.items())


def is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same type, shape and bits: NaN is equal to itself, and 0.0 is not -0.0."""
    alike = one.dtype == other.dtype and one.shape == other.shape
    return alike and torch.equal(
        *(tensor.detach().cpu().contiguous().flatten().view(torch.uint8) for tensor in (one, other))
    )


def timeless(value: Any) -> Any:
    """Return records, or the content of a JSON file, without the times, which differ between two equal runs."""
    if isinstance(value, dict):
        timed = {key for key in value if key in ("seconds", "at") or key.endswith("_per_second")}
        return {key: timeless(item) for key, item in value.items() if key not in timed}
    return [timeless(item) for item in value] if isinstance(value, list) else value
