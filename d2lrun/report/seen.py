"""Underfitting and overfitting of a sweep in a sentence, if its losses show it (book 4.4)."""

from __future__ import annotations

from typing import Any

from d2lrun.report.labels import middle
from d2lrun.report.points import Point, distinct, numeric, points_of, text_of, topic_of, varying
from d2lrun.report.text import measured

TELLING = 1.1  # times the loss of the best; a smaller difference may be random
MOST = 9  # most values that are not numbers
NAME = 40  # most cells of such a value
PACE = (
    "optimizer.lr",
    "optimizer.head_factor",
    "train.",
    "schedule.",
)  # keys that change the progress of training, not the model's capacity


def seen(sweep: dict[str, Any]) -> str | None:
    """Return what the losses of a sweep over one key show; None if they show neither under- nor overfitting.

    A value underfits if its training loss and its held-out loss are both higher than the best value's losses. It
    overfits if only the held-out loss is higher. For numbers, only the smallest and the largest value are judged.
    """
    held = f"{topic_of(sweep).watched}_loss"
    points = points_of(sweep)
    keys = varying(points, sweep["keys"])
    points = [each for each in points if not each.state and held in each.metrics and "train_loss" in each.metrics]
    if len(keys) != 1 or keys[0].startswith(PACE) or held == "train_loss" or len(points) < 2:
        return None
    best = min(points, key=lambda each: each.metrics[held][0])
    if numeric(points, keys[0]):
        ends = distinct(points, keys[0])
        judged = [each for end in (ends[-1], ends[0]) for each in points if each.values[keys[0]] == end]
    elif len(points) <= MOST:
        judged = points
    else:
        return None
    found = [judgement(each, best, keys[0], held) for each in judged if each is not best]
    if not any(word in text for text in found for word in ("underfitting", "overfitting")):
        return None
    loss = held.replace("_", " ")
    lowest = f"{loss} is lowest at {keys[0]}={name(best, keys[0])} ({measured(best.metrics[held][0])})"
    return "; ".join([lowest, *filter(None, found)])


def judgement(each: Point, best: Point, key: str, held: str) -> str:
    """Return how a value compares with the best: overfitting, underfitting or equal; "" if the losses are unclear."""
    train, own = each.metrics["train_loss"][0], each.metrics[held][0]
    best_train, best_own = best.metrics["train_loss"][0], best.metrics[held][0]
    loss, where = held.replace("_", " "), name(each, key)
    if own <= TELLING * best_own:
        return f"{where} is as good within a tenth ({measured(own)})"
    if train > TELLING * best_train:
        return f"at {where} train loss ({measured(train)}) and {loss} ({measured(own)}) are both higher: underfitting"
    if train < best_train:
        lower = f"train loss is lower ({measured(train)} against {measured(best_train)})"
        return f"at {where} {lower}, {loss} is higher ({measured(own)}): overfitting"
    return ""


def name(each: Point, key: str) -> str:
    """Return the value of a point as a short text."""
    return middle(text_of(each, key), NAME)
