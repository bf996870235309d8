"""Check that a text is long enough for a split: one validation window, and a training batch from every offset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from d2lrun.config import complaints
from d2lrun.config.tables import network_of
from d2lrun.errors import Refused
from d2lrun.training.split_check import nearest, spelled, working

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.tasks.language_model.stream import TextDataset


def check_text(config: Config, data: TextDataset) -> None:
    """Raise Refused if a part is too short for a window, or the training part for a batch from any offset."""
    validation = config.validation
    _, refusal = too_short(validation, config, data)
    if refusal is None:
        return
    if validation.name not in ("holdout", "kfold"):
        raise refusal
    key, less = ("fraction", "train") if validation.name == "holdout" else ("k", "val")

    def side(value: float) -> int:
        """Return 1 if the value is too large (the part ``less`` is too short), -1 if it is too small, else 0."""
        change: dict[str, Any] = {key: value}
        part, _ = too_short(replace(validation, **change), config, data)
        return 0 if part is None else 1 if part == less else -1

    value = getattr(validation, key)
    found = working(side, value) if key == "fraction" else nearest(range(2, len(data.tokens) + 1), side, side(value))
    given = complaints.shown(f"validation.{key}", value)
    hints = [] if found is None else [spelled([(key, found)])]
    raise Refused(f"{given}: {str(refusal).removeprefix(f'{given}: ')}", "; or ".join([*hints, refusal.hint]))


def too_short(validation: Any, config: Config, data: TextDataset) -> tuple[str | None, Refused | None]:
    """Return the name of a part that is too short (train or val) and its refusal; (None, None) if none is.

    Of K folds, the two extreme ones are tried.
    """
    folds = [validation.k - 1, 0] if validation.name == "kfold" else []  # shortest training and validation part
    ways = [replace(validation, fold=fold) for fold in folds] or [validation]
    try:
        parts = [data.split(way).train for way in ways]
    except Refused as refusal:
        return "val", refusal
    try:
        if not network_of(config.model).steps:  # it needs a window to measure, but no batch
            parts[0].ordered(1)
        else:
            parts[0].refuse_if_short(config.train.batch_size)
    except Refused as refusal:
        return "train", refusal
    return None, None
