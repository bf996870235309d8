"""What kind of values stand in a run's files of JSON: small checks, put together to larger ones, that never raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeGuard

from d2lrun.config.metrics import is_finite as number

Kind: TypeAlias = Callable[[Any], bool]


def text(value: Any) -> bool:
    return isinstance(value, str)


def maybe(kind: Kind) -> Kind:
    """null, or of the kind."""
    return lambda value: value is None or kind(value)


def every(kind: Kind) -> Kind:
    """A list of the kind."""
    return lambda value: isinstance(value, list) and all(map(kind, value))


def pair(kind: Kind) -> Kind:
    """A list of two of the kind."""
    return lambda value: every(kind)(value) and len(value) == 2


def mapping(kind: Kind) -> Kind:
    """An object with any keys, whose values are of the kind."""
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


def record(
    needed: Mapping[str, Kind], others: Mapping[str, Kind] | None = None
) -> Callable[[Any], TypeGuard[dict[str, Any]]]:
    """An object with all keys of ``needed`` and any of ``others``, their values of these kinds; it may have more."""

    def check(value: Any) -> TypeGuard[dict[str, Any]]:
        if not isinstance(value, dict) or not needed.keys() <= value.keys():
            return False
        kinds = {**needed, **(others or {})}
        return all(kind(value[key]) for key, kind in kinds.items() if key in value)

    return check


# What is read of .data.json (identity.py), and of the result.json of a run that has finished. Runs of earlier versions
# have not all of it.
IS_IDENTITY = record(
    {
        "content": text,
        "files": every(record({"origin": text, "sha256": text})),
        "places": mapping(lambda place: text(place) or every(text)(place)),
        "measured": mapping(every(text)),
    },
    {"parts": mapping(record({"fingerprint": text}))},
)
METRIC = maybe(number)  # null stands for what is not finite
DEAD = {"dead": maybe(record({"epoch": number, "hint": text}))}
FLOOR = {"floor": maybe(record({"metric": text, "value": METRIC, "constant": text, "at_chance": lambda value: True}))}
BOOK = maybe(record({"section": text, "band": mapping(pair(number))}, {"changed": maybe(every(text))}))
NEEDED = {"epochs": number, "steps": number, "seconds": number, "model": text, "dataset": text, "seed": number, **DEAD}
OTHERS = {**FLOOR, "book": BOOK, "parameters": maybe(number), "baselines": maybe(mapping(number)), "note": maybe(text)}
OTHERS |= {"selected_epoch": maybe(number), "versions": maybe(mapping(text))}
OF_FOLD = record({"directory": text, "epochs": number, "metrics": mapping(METRIC)}, FLOOR | DEAD)
REFITTED = {"refit": maybe(record({"epochs": number, "metrics": mapping(METRIC), "test_set": text}))}
SPREAD = mapping(record({"mean": METRIC, "std": METRIC}))
IS_RESULT = record(NEEDED | {"metrics": mapping(METRIC)}, OTHERS)
IS_FOLDED = record(NEEDED | {"metrics": SPREAD, "folds": every(OF_FOLD)}, OTHERS | REFITTED)
# What a search leaves in the folder of each trial (sweeps/trial.py).
IS_TRIAL = record(
    {
        **{"study": text, "number": number, "storage": maybe(text)},
        **{"metric": maybe(text), "pruner": text, "startup": number},
    }
)
