"""The identity of a run's data: recorded before the first step, and checked before the run continues.

.data.json in the run's directory, and ``data`` in its result.json:

content    the fingerprint of all data that were read or generated
files      each file, or set of generated rows: its origin and the sha256 of its content
places     the config's keys that name a path, with the absolute path
parts      for train, val and test: the number of examples or tokens, and a fingerprint of their indices
measured   for each metric the fingerprints of the examples that it is measured on, one per fold
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from d2lrun import datasets
from d2lrun.config import schema
from d2lrun.config.keys import Config
from d2lrun.disk import files
from d2lrun.disk.content import fingerprint
from d2lrun.disk.locate import Say
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import OtherData, Refused
from d2lrun.tasks import task_of
from d2lrun.training.task import Split, Subset, Task

SHOWN = 12  # digits of a sha256 in a message
ROWS = 10  # most pieces of a folder in a message


def identify(config: Config, data: Any, split: Split[Subset], task: Task) -> dict[str, Any]:
    """Return the content of .data.json."""
    parts = {name: part for name in ("train", "val", "test") if (part := getattr(split, name)) is not None}
    return {
        **contents(data),
        "places": places(config),
        "parts": {
            name: {"count": part.size, "of": part.of or part.size, "fingerprint": part.fingerprint}
            for name, part in parts.items()
        },
        "measured": {
            f"{name}_{metric}": [digest]
            for name, part in parts.items()
            for metric, digest in task.measured_on(part).items()
        },
    }


def of(config: Config) -> dict[str, Any]:
    """Load the data and return the identity of a run, or of one fold, with this config; raises Refused."""
    data = datasets.prepared(config)
    split = data.split(config.validation, config.seed)
    split = split.limited(config.train.limit_batches, config.train.batch_size)
    return identify(config, data, split, task_of(config, data))


def contents(data: Any) -> dict[str, Any]:
    """Return the content and the files of a whole dataset, independent of its split."""
    return {
        "content": fingerprint(*(each.sha256 for each in data.contents)),
        "files": [
            {"origin": each.origin, "sha256": each.sha256} | ({"pieces": dict(each.pieces)} if each.pieces else {})
            for each in data.contents
        ],
    }


def places(config: Config) -> dict[str, Any]:
    """Return the absolute paths to data that the config names, by key."""
    given = {f"dataset.{key}": value for key, value in vars(config.dataset).items()}
    found = {key: given[key] for key in schema.PLACES if given.get(key)}
    return {key: [*map(absolute, each)] if isinstance(each, list) else absolute(each) for key, each in found.items()}


def absolute(path: str) -> str:
    """Return the path, or each path of a list, as an absolute path."""
    return os.path.abspath(os.path.expanduser(path))


def joined(identities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the identity of a run with K folds from the identities of its folds, at least one."""
    first, *others = identities
    if not others:
        return first
    measured = {
        name: [*digests, *(digest for other in others for digest in other["measured"].get(name, []))]
        for name, digests in first["measured"].items()
    }
    return {**{key: first[key] for key in ("content", "files", "places")}, "measured": measured}


def record(directory: RunDirectory, now: dict[str, Any], say: Say) -> None:
    """Write .data.json; raises Refused, before anything is written, if the run started with other data."""
    before = directory.data()
    if directory.begun():
        if before is None:
            say("this run has no record of its data: the present data are assumed to be the same")
        else:
            refuse_other(directory, before, now)
    files.write_json(directory.data_file, now)


def refuse_other(directory: RunDirectory, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise OtherData if the content changed; the message names each changed file, or else each changed part."""
    rows = changed_files(before, now) or changed_parts(before, now)
    if rows:
        hint = "restore the data (dataset.dir=FOLDER or dataset.path=FILE may name another place)"
        if hasattr(directory.load_config().dataset, "source"):
            hint = "its function must return the same data in each call: give its random generator a seed"
        raise OtherData(
            "\n  ".join([f"{directory.path} holds a run on other data", *rows]), f"{hint}, or start another run"
        )


def changed_files(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for each file that differs, in reading order."""
    if before["content"] == now["content"]:
        return []
    rows = []
    for old, new in zip_longest(before["files"], now["files"]):
        if new is None or old is None:
            rows.append(f"{(new or old)['origin']}: {'added' if old is None else 'no longer read'}")
        elif new["sha256"] != old["sha256"]:
            moved = f" ({old['origin']})" if new["origin"] != old["origin"] else ""
            digests = f"sha256 {new['sha256'][:SHOWN]}…, wanted {old['sha256'][:SHOWN]}…{moved}"
            rows += changed_pieces(old, new) or [f"{new['origin']}: {digests}"]
    return rows


def changed_pieces(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a line for each piece of a folder that differs, the first ones of many; none if they are not known."""
    before, now = old.get("pieces") or {}, new.get("pieces") or {}
    names = sorted({*before, *now}) if before and now else []
    rows = [
        f"{new['origin']}/{name}: {now.get(name, 'no longer there')}, wanted {before.get(name, 'none')}"
        for name in names
        if before.get(name) != now.get(name)
    ]
    return rows[:ROWS] + ([f"and {len(rows) - ROWS:,} more"] if len(rows) > ROWS else [])


def changed_parts(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for each part that holds other examples although the files are the same."""
    old, new = (each.get("parts") or {} for each in (before, now))
    return [
        f"{name}: other examples than before, from another version of d2lrun or of a package that draws them"
        for name in old
        if name in new and old[name]["fingerprint"] != new[name]["fingerprint"]
    ]


def locate_data(config: Config, directory: RunDirectory, say: Say) -> Config:
    """Return the config with the present path of its data: the config's own, or the absolute path in the record.

    If the config names another path than the run's own config, only that path is tried. Raises Refused if there are no
    data, and OtherData if they differ from the record. Without a record, the config is returned unchanged.
    """
    before = directory.data()
    if before is None:
        return config
    tried = [config]
    if config.dataset == directory.load_config().dataset:
        tried.append(moved(config, before["places"]))
    problems = []
    for place in tried:
        try:
            data = datasets.load(place.dataset, say)
            refuse_other(directory, before, contents(data))
        except Refused as problem:
            problems.append(problem)
            continue
        if places(place) != before["places"] or place is not config:
            say(f"data found at {data.source}, same content")
        return place
    raise next((problem for problem in problems if isinstance(problem, OtherData)), problems[0])


def moved(config: Config, places: dict[str, Any]) -> Config:
    """Return the config with other paths to its data."""
    has = schema.keys_of(config.dataset.__class__)
    known = {name: path for key, path in places.items() if (name := key.partition(".")[2]) in has}
    return replace(config, dataset=replace(config.dataset, **known))
