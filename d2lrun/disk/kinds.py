"""Type checks for a run's JSON files: small checks that are combined to larger ones and never raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeGuard

from d2lrun.config.metrics import is_finite as number

Kind: TypeAlias = Callable[[Any], bool]


def text(value: Any) -> bool:
    """Check for a text."""
    return isinstance(value, str)


def maybe(kind: Kind) -> Kind:
    """Check for null or a value of the kind."""
    return lambda value: value is None or kind(value)


def every(kind: Kind) -> Kind:
    """Check for a list of values of the kind."""
    return lambda value: isinstance(value, list) and all(map(kind, value))


def pair(kind: Kind) -> Kind:
    """Check for a list of two values of the kind."""
    return lambda value: every(kind)(value) and len(value) == 2


def mapping(kind: Kind) -> Kind:
    """Check for an object with any keys, whose values are of the kind."""
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


def record(
    needed: Mapping[str, Kind], others: Mapping[str, Kind] | None = None
) -> Callable[[Any], TypeGuard[dict[str, Any]]]:
    """Check for an object with all keys of ``needed``; values of ``needed`` and ``others`` have these kinds."""

    def check(value: Any) -> TypeGuard[dict[str, Any]]:
        if not isinstance(value, dict) or not needed.keys() <= value.keys():
            return False
        kinds = {**needed, **(others or {})}
        return all(kind(value[key]) for key, kind in kinds.items() if key in value)

    return check


# The keys that are read from .data.json (identity.py) and from the result.json of a finished run. Runs of earlier
# versions do not have all of them.
IS_IDENTITY = record(
    {
        "content": text,
        "files": every(record({"origin": text, "sha256": text}, {"pieces": mapping(text)})),
        "places": mapping(lambda place: text(place) or every(text)(place)),
        "measured": mapping(every(text)),
    },
    {"parts": mapping(record({"fingerprint": text}))},
)
METRIC = maybe(number)  # null if it is not finite
DEAD = {"dead": maybe(record({"epoch": number, "hint": text}))}
FLOOR = {"floor": maybe(record({"metric": text, "value": METRIC, "constant": text, "at_chance": lambda value: True}))}
BOOK = maybe(record({"section": text, "band": mapping(pair(number))}, {"changed": maybe(every(text))}))
NEEDED = {"epochs": number, "steps": number, "seconds": number, "model": text, "dataset": text, "seed": number, **DEAD}
OTHERS = {**FLOOR, "book": BOOK, "parameters": maybe(number), "baselines": maybe(mapping(number)), "note": maybe(text)}
CELL: Kind = lambda value: text(value) or METRIC(value)  # noqa: E731
OTHERS |= {"table": maybe(record({"title": text, "heads": every(text), "rows": every(every(CELL))}))}
IS_PARENT = record({"parent": text, "epochs": number})  # the file .parent.json (runs/longer.py)
OTHERS |= {"parent": maybe(IS_PARENT)}
OTHERS |= {"selected_epoch": maybe(number), "versions": maybe(mapping(text))}
OF_FOLD = record({"directory": text, "epochs": number, "metrics": mapping(METRIC)}, FLOOR | DEAD)
REFITTED = {"refit": maybe(record({"epochs": number, "metrics": mapping(METRIC), "test_set": text}))}
SPREAD = mapping(record({"mean": METRIC, "std": METRIC}))
IS_RESULT = record(NEEDED | {"metrics": mapping(METRIC)}, OTHERS)
IS_FOLDED = record(NEEDED | {"metrics": SPREAD, "folds": every(OF_FOLD)}, OTHERS | REFITTED)
# The file that a search writes to the folder of each trial (sweeps/trial.py).
IS_TRIAL = record(
    {
        **{"study": text, "number": number, "storage": maybe(text)},
        **{"metric": maybe(text), "pruner": text, "startup": number},
    }
)
