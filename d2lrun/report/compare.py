"""Compare runs and sweeps: the differences of their configs, and their results.

Imports no torch: it only reads.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from d2lrun.config import schema
from d2lrun.config.keys import VARIANTS, conf_dir
from d2lrun.config.metrics import SPLITS, better_first, split_of
from d2lrun.disk import files
from d2lrun.disk.recorded import DATA, Entry
from d2lrun.errors import Refused
from d2lrun.report import fonts, likeness
from d2lrun.report.columns import Column, fitted
from d2lrun.report.sweep import plain, words
from d2lrun.report.tables import heading, pairs
from d2lrun.report.text import counted, duration, say, setting, settings, short_names, spread

if TYPE_CHECKING:
    from rich.console import Console

ROWS = 50  # most rows of the table
EQUAL = 0  # the priority of a column that is equal for all runs shown
KEYS = 40  # most differing keys in the table and in labels: no terminal has room for more
FIRST = ("directory", "status")  # columns of compare.csv
FOLLOWS = ("recipe", "book")  # keys of the config that follow from the others
# Keys that do not distinguish runs: their folder and how they are saved. The place of data and the device do.
IGNORED = (*(key for key in schema.CIRCUMSTANCES if key not in (*schema.PLACES, "device.name")), *FOLLOWS)


def differing(entries: list[Entry]) -> list[str]:
    """Return the config keys whose values differ: first the names of groups, then keys that all runs have, then others.

    Keys that do not change the experiment, or that follow from other keys, are left out. The paths of the data (or
    their fingerprints, if no key shows the difference) are included only if the data differ.
    """
    configs = [entry.config for entry in entries if entry.config]
    whole = [config for config in configs if "model.name" in config and "seed" in config] or configs
    keys = [key for key in dict.fromkeys(itertools.chain(*whole)) if not schema.among(key, IGNORED)]
    found = [key for key in keys if likeness.varies(key, whole)]
    hidden = () if DATA in found else schema.PLACES if records_data(whole) else schema.EARLIER
    data_keys = [key for key in found if key.startswith("dataset.")]
    found = [key for key in found if not schema.among(key, hidden) and not (key == DATA and data_keys)]

    def rank(key: str) -> tuple[bool, bool]:
        return shown_key(key) == key, not all(key in config for config in whole)

    return sorted(found, key=rank)


def most_telling(entries: list[Entry]) -> list[str]:
    """Return the first of the differing keys, at most ``KEYS``."""
    return differing(entries)[:KEYS]


def records_data(configs: list[dict[str, Any]]) -> bool:
    """Whether each of these runs recorded the data that it read; runs of earlier versions did not."""
    return all(DATA in config for config in configs)


def metric_names(entries: list[Entry]) -> list[str]:
    """Return all metrics by importance: val, test, train, each with the loss last; then speeds.

    Test comes before val if more runs have it.
    """
    names = list(dict.fromkeys(name for entry in entries for name in entry.metrics))
    held = {split: sum(split in map(split_of, entry.metrics) for entry in entries) for split in SPLITS}
    splits = [*sorted(("val", "test"), key=lambda split: -held[split]), "train"]

    def rank(name: str) -> tuple[int, bool]:
        place = splits.index(split) if (split := split_of(name)) else len(splits)
        return place, name.endswith("_loss")

    return sorted(names, key=rank)


def arranged(entries: list[Entry], metric: str | None) -> list[Entry]:
    """Sort the entries by ``metric``, the best first and entries without it last; raises Refused if none has it."""
    if metric is None:
        return entries
    names = metric_names(entries)
    if metric not in names:
        close = schema.suggestion(metric, names)
        raise Refused(f"sort={metric}: no such metric{close}", f"these runs have: {', '.join(names) or 'none'}")
    sign = better_first(metric)

    def rank(entry: Entry) -> tuple[bool, float]:
        value = entry.mean(metric)
        return value is None, 0.0 if value is None else sign * value

    return sorted(entries, key=rank)


def best_of(entries: list[Entry]) -> tuple[Entry | None, str | None]:
    """Return the best finished run by validation, and why some or all runs are not ranked; (None, None) without runs.

    The test set is never used to choose. Runs that were not measured on the same examples are not ranked.
    """
    metric = next((name for name in metric_names(entries) if split_of(name) == "val"), None)
    if metric is None:
        return None, None
    done = [each for each in entries if each.status == "finished" and each.mean(metric) is not None]
    if len(done) < 2:
        return None, None
    if unknown := [str(entries.index(each) + 1) for each in done if each.measured is None]:
        note = f"an earlier version made run {', '.join(unknown)} and recorded nothing of the data; d2lrun resume does"
        return None, note
    sets = [frozenset((each.measured or {}).get(metric, ())) for each in done]
    if not likeness.alike(sets):
        keys = [shown_key(key) for key in likeness.causes(sets, [visible(each.config) for each in done])]
        return None, f"{words(metric)} was not measured on the same examples: {', '.join(keys) or 'the data'} differs"
    sign = better_first(metric)
    values = [sign * mean for each in done if (mean := each.mean(metric)) is not None]
    choice = likeness.choose(values, sets, [each.at_chance for each in done])
    if choice.tied:
        return None, f"several runs tie for the best {words(metric)}"
    why = choice.why
    if choice.lacking and not why:
        places = ", ".join(str(entries.index(done[place]) + 1) for place in choice.lacking)
        why = f"for run {places}: measured on fewer of the parts (folds) than others"
    return None if choice.first is None else done[choice.first], why


def visible(config: dict[str, Any] | None) -> dict[str, Any]:
    """Return the keys of a flat config that may change what is measured; the paths of data stand for the data."""
    return {key: value for key, value in (config or {}).items() if not schema.among(key, IGNORED)}


def labels(entries: list[Entry]) -> list[str]:
    """Return a label for each run: the values of a minimal set of differing keys, as in 'model=lenet lr=0.1'.

    If the keys do not distinguish a run, its label is its directory.
    """
    keys = most_telling(entries)
    names = short_names(shown_key(key) for key in keys)
    rows = [settings(picked(entry, telling(entries, keys)), names) for entry in entries]
    ends = [entry.directory.name for entry in entries]
    twice = {row for row in rows if rows.count(row) > 1}
    return [f"{row} {end}".strip() if row in twice or not row else row for row, end in zip(rows, ends, strict=True)]


def telling(entries: list[Entry], keys: list[str]) -> list[str]:
    """Return a minimal part of the ``keys``, in their order, that distinguishes the same runs as all of them.

    Each returned key distinguishes runs that the keys before it do not: not a dataset that depends on the model.
    """
    chosen: list[str] = []
    rows = [""] * len(entries)
    for key in keys:
        finer = [f"{row} {settings(picked(entry, [key]), {})}" for row, entry in zip(rows, entries, strict=True)]
        if len(set(finer)) > len(set(rows)):
            chosen.append(key)
            rows = finer
    return chosen


def picked(entry: Entry, keys: Iterable[str]) -> dict[str, Any]:
    """Return the values of an entry, by the short names of the keys."""
    return {shown_key(key): entry.config[key] for key in keys if entry.config and key in entry.config}


def shown_key(key: str) -> str:
    """model.name -> model, as typed on the command line."""
    group = key.removesuffix(".name")
    return group if group in VARIANTS else key


def show(console: Console, entries: list[Entry]) -> None:
    """Print the table (differing keys, status, metrics, epochs, time), and below it the directories and read errors."""
    heading(console, f"{counted(len(entries), 'run')}, {statuses(entries)}")
    best, unranked = best_of(entries)
    shown = entries[:ROWS]
    place = next((number for number, entry in enumerate(shown) if entry is best), None)
    table, dropped = fitted(console, *layouts(shown, entries, best), best=place)
    console.print(table)
    configs = [entry.config or {} for entry in entries]
    same = "neither the configs nor the data differ" if records_data(configs) else "the configs do not differ"
    notes = [("same", same)] if not differing(entries) and len(entries) > 1 else []
    if any(std is not None for entry in entries for _, std in entry.metrics.values()):
        notes.append(("±", "standard deviation over the folds"))
    if best:
        metric = next(name for name in metric_names(entries) if split_of(name) == "val")
        notes.append(("★", f"best {words(metric)}"))
    if unranked:
        notes.append(("no ★", unranked))
    notes += [("note", note) for note in dict.fromkeys(note for entry in entries for note in entry.notes)]
    notes += [("note", line) for line in fonts.notices()]
    if len(entries) > ROWS:
        notes.append(("more", f"{counted(len(entries) - ROWS, 'row')} in compare.csv"))
    if (more := len(differing(entries)) - KEYS) > 0:
        notes.append(("more", f"{counted(more, 'key')} more that differ in compare.csv"))
    if dropped:
        notes.append(("no room", f"for {', '.join(' '.join(head.split()) for head in dropped)}: see compare.csv"))
    if notes:
        console.print()
        console.print(pairs(console, notes))
    console.print()
    for number, entry in enumerate(shown, 1):
        origin = f", continues {entry.parent}" if entry.parent else ""
        say(console, f" {number:>3}  {entry.directory}{origin}" + (f": {entry.problem}" if entry.problem else ""))


def statuses(entries: list[Entry]) -> str:
    """Return the number of runs of each status: '3 finished, 1 failed'."""
    all_statuses = [entry.status for entry in entries]
    return ", ".join(f"{all_statuses.count(status):,} {status}" for status in dict.fromkeys(all_statuses))


def layouts(shown: list[Entry], entries: list[Entry], best: Entry | None) -> list[list[Column]]:
    """Return two layouts: a column for each differing key, or all keys in one column that wraps.

    A column that is equal in all rows shown is dropped before a column that differs.
    """
    number = Column("", [str(place) for place in range(1, len(shown) + 1)])
    marks = [Column("", ["★" if entry is best else "" for entry in shown])] if best else []
    keys = most_telling(entries)
    names = short_names(map(shown_key, keys))
    each, first = [], telling(entries, keys)
    for place, key in enumerate([*first, *(key for key in keys if key not in first)]):
        cells = [setting(entry.config[key]) if entry.config and key in entry.config else "" for entry in shown]
        each.append(Column(names[shown_key(key)], cells, wanted_key(place, len(first)), number=False))
    label = dict(zip(map(id, entries), labels(entries), strict=True))
    together = Column("what differs", [label[id(entry)] for entry in shown], number=False)
    rest = [Column("status", [entry.standing for entry in shown], 90, number=False)]
    for place, name in enumerate(metric_names(entries)):
        cells = [spread(*entry.metrics[name]) if name in entry.metrics else "" for entry in shown]
        rest.append(Column(words(name, "\n"), cells, 80 - 8 * place if place else 100))
    rest.append(Column("epochs", [str(entry.epochs or 0) for entry in shown], 30))
    rest.append(Column("time", ["" if entry.seconds is None else duration(entry.seconds) for entry in shown], 45))
    for column in (*each, *rest):
        if len(shown) > 1 and len(set(column.cells)) == 1:
            column.wanted = min(column.wanted, EQUAL)
    return [[number, *marks, *each, *rest], [number, *marks, together, *rest]]


def wanted_key(place: int, telling: int) -> int:
    """Return the priority of a key's column: the first two stay, and distinguishing keys stay longer than metrics."""
    return 100 if place < 2 else max(82, 89 - place) if place < telling else max(1, 30 - place)


def write_csv(entries: list[Entry], path: Path) -> None:
    """Write a row per run: directory, status, differing keys, epochs, seconds, metrics and std, problem."""
    keys, names = differing(entries), metric_names(entries)
    spreads = {name for entry in entries for name, (_, std) in entry.metrics.items() if std is not None}
    columns = [(name, end) for name in names for end in ((0, 1) if name in spreads else (0,))]
    heads = [f"{name}_std" if end else name for name, end in columns]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*FIRST, *keys, "epochs", "seconds", *heads, "problem"])
    for entry in entries:
        values = [plain(entry.config[key]) if entry.config and key in entry.config else "" for key in keys]
        numbers = [entry.metrics.get(name, (None, None))[end] for name, end in columns]
        table.writerow([entry.directory, entry.status, *values, entry.epochs, entry.seconds, *numbers, entry.problem])
    files.write_atomic(path, text.getvalue().encode("utf-8", "backslashreplace"))


def write(entries: list[Entry], out: str | None, arranged: bool = False) -> list[Path]:
    """Write compare.csv and, if a run has an epoch, compare.png: in ``out``, or in a new outputs/compare/<date_time>/.

    The picture highlights the best run by validation; if there is none, the first run if the runs are ``arranged``.
    """
    from d2lrun.report.overlay import draw_overlay

    best = best_of(entries)[0] or (entries[0] if arranged else None)
    curves = [
        (f"{number} {label}", entry.records, entry is best)  # its number in the table
        for number, (label, entry) in enumerate(zip(labels(entries), entries, strict=True), 1)
        if entry.records
    ]
    try:
        folder = Path(out).expanduser() if out else new_folder()
        table, picture = folder / "compare.csv", folder / "compare.png"
        refuse_users(table, picture)
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(entries, table)
        draw_overlay(curves, picture)
    except OSError as error:
        hint = "choose another place with out=FOLDER"
        raise Refused(f"cannot write to {out or 'outputs/compare'}: {error.strerror or error}", hint) from error
    return [table, picture] if curves else [table]


def refuse_users(table: Path, picture: Path) -> None:
    """Raise Refused if the files exist and an earlier ``compare`` did not write them, by the content of the table."""
    ours = table.is_file() and table.read_bytes().startswith(",".join(FIRST).encode())
    there = [path.name for path in (table, picture) if os.path.lexists(path)]
    if there and not ours:
        hint = "choose another place with out=FOLDER"
        raise Refused(f"{table.parent} holds {' and '.join(there)} that d2lrun compare did not write", hint)


def new_folder() -> Path:
    """Make a new folder outputs/compare/<date_time>, unique also if two start in one second."""
    root = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))["run"]["root"]
    parent = Path(root).expanduser() / "compare"
    parent.mkdir(parents=True, exist_ok=True)
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in itertools.count(1):
        try:
            path = parent / (stem if number == 1 else f"{stem}_{number}")
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise AssertionError("the numbers do not end")
