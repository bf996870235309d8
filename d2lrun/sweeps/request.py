"""Parse a command line with ``-m``: its fixed values, its swept values, and the folder of the sweep."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config import compose, schema, several
from d2lrun.config.compose import parse_override
from d2lrun.config.keys import Config, Grid, Search
from d2lrun.config.metrics import validated
from d2lrun.config.tables import dataset_of
from d2lrun.errors import Refused

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

WORDS = 60  # most letters of keys in a folder's name
REFIT = "validation.refit"  # belongs to the whole sweep: see refit.py


@dataclass
class Request:
    """A command line with ``-m``: its fixed values, and the values and intervals of the other keys."""

    overrides: list[str]  # all overrides, as typed
    fixed: list[str]
    axes: list[list[str]]
    intervals: list[Override]
    settings: Grid | Search
    root: str  # where outputs go
    config_dir: str | None
    known: compose.Known
    command: str


def read(overrides: list[str], config_dir: str | None, command: str) -> Request:
    """Parse a command line; if a key is repeated, its last word counts. Raises Refused."""
    overrides = list({key_of(text): text for text in overrides}.values())
    fixed, axes, intervals = several.expand(overrides, config_dir)
    known = compose.Known() if config_dir else compose.SHIPPED
    settings, root = compose.sweep_settings(fixed, config_dir, known)
    return Request(overrides, fixed, axes, intervals, settings, root, config_dir, known, command)


def key_of(text: str) -> str:
    """Return the key of an override."""
    return text.partition("=")[0].lstrip("+")


def typed(value: Any) -> str:
    """Return a value as typed on Hydra's command line."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def folder(request: Request, keys: list[str]) -> Path:
    """Return the folder of the sweep. It depends on the swept keys and the fixed values, not on the swept values.

    A key with a single value is fixed, unless it is written seed=choice(1). An experiment gives its name to the folder.
    """
    settings = request.settings
    named = [text for text in request.fixed if key_of(text) == "experiment"]
    words = [str(parse_override(text).value()) for text in named]
    words += [key for key in sorted(keys) if not (named and key in settings.grid)]
    stem = "_".join(words) or "one"
    rest = [*(text for text in lasting(request.fixed) if text not in named), request.config_dir or "", stem[WORDS:]]
    digest = hashlib.sha256("\n".join(rest).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    name = re.sub(r"[^\w.-]+", "-", stem[:WORDS]).strip("-_.") + (f"-{digest}" if any(rest) else "")
    return Path(request.root).expanduser() / "sweeps" / (settings.name or name)


def lasting(fixed: list[str]) -> list[str]:
    """Return the fixed values that identify the sweep: if one changes, it is another sweep."""
    steer = ("sweep.", "run.", "hydra", "device.threads", REFIT)
    return sorted(text for text in fixed if not key_of(text).startswith(steer))


def refuse_places(fixed: list[str], keys: list[str]) -> None:
    """Raise Refused for run.dir, and for a swept key that belongs to the whole sweep."""
    if "run.dir" in [*map(key_of, fixed), *keys]:
        raise Refused("run.dir: the folder of one run, but -m makes many", "name the sweep's with sweep.name=NAME")
    if whole := [key for key in keys if key.startswith(("run.", "sweep", REFIT))]:
        raise Refused(f"{whole[0]}: it belongs to the whole sweep, not to a run", "give it one value")


def check_metric(metric: str | None, configs: list[Config]) -> None:
    """Raise Refused for a metric that none of the datasets has."""
    have = sorted(validated(dataset_of(config.dataset).task for config in configs))
    if metric and metric not in have:
        close = schema.suggestion(metric, have)
        raise Refused(f"sweep.metric={metric}: not measured here{close}", f"there is {', '.join(have)}")
