"""Keyword arguments as the overrides of a command line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from d2lrun.config.compose import parse_override
from d2lrun.config.keys import VARIANTS
from d2lrun.config.overrides import literal
from d2lrun.errors import Refused


def overrides(given: Sequence[str], settings: Mapping[str, Any], data: Any = None, several: bool = False) -> list[str]:
    """Return the overrides ``given`` as texts, and those of keyword arguments; if ``several``, a list is many values.

    ``model="lenet", train={"epochs": 3}, optimizer__lr=0.1`` is ``model=lenet train.epochs=3 optimizer.lr=0.1``: two
    underscores stand for a dot. ``data`` in memory and the weights of a network are written to the folder of the
    outputs, and the overrides name their files. Raises Refused for a value that no config can hold.
    """
    for word in given:
        if not isinstance(word, str):
            raise Refused(f"{word!r}: wanted a text such as 'model=lenet'", "name the key: model='lenet'")
    if any(map(callable, several_of(settings.get("model")))):
        from d2lrun.api import networks

        settings = {**settings, "model": networks.options_of(settings["model"], outputs(given, settings) / "data")}
    typed = [*given, *(f"{key}={text_of(key, value, several)}" for key, value in leaves(settings))]
    if data is None:
        return typed
    from d2lrun.datasets import memory

    return memory.words_for(data, typed, outputs(typed, {}) / "data")


def several_of(value: Any) -> Sequence[Any]:
    """Return a list as it is, and any other value as the only one of a list."""
    return value if isinstance(value, (list, tuple)) else [value]


def outputs(given: Sequence[str], settings: Mapping[str, Any]) -> Path:
    """Return the folder of the outputs that the overrides and keyword arguments name; null is refused elsewhere."""
    named = [parse_override(word).value() for word in given if word.lstrip("+").startswith("run.root=")]
    named += [value for key, value in leaves(settings) if key == "run.root"]
    return Path(str(["outputs", *named][-1] or "outputs")).expanduser()


def leaves(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each key and its value; a group's ``name`` is the option of the group."""
    for name, value in settings.items():
        key = str(name).replace("__", ".")
        if isinstance(value, Mapping) and value:
            for inner, each in leaves(value):
                yield (key if inner == "name" and key in VARIANTS else f"{key}.{inner}"), each
        else:
            yield key, value


def plain(value: Any) -> Any:
    """Return numbers of NumPy or torch as Python's numbers and lists; any other value as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def text_of(key: str, value: Any, several: bool = False) -> str:
    """Return a value in Hydra's grammar; raises Refused."""
    value = plain(value)
    if several and isinstance(value, list) and value:
        return ",".join(text_of(key, each) for each in value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (str, PathLike)):
        return literal(str(fspath(value)))
    if isinstance(value, Mapping) and not value:
        return "{}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(text_of(key, each) for each in value)}]"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)  # also of an IntEnum
    raise Refused(f"{key}={value!r}: wanted a text, number, truth value, list or None", f"give {key}=VALUE")
