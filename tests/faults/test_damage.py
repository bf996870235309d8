"""Files of a run that are damaged, replaced or hostile: each is refused or passed over at once, in words."""

from __future__ import annotations

import copy
import io
import os
import shutil
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
from rich.console import Console

from d2lrun.disk.rundir import is_sound
from d2lrun.report.folds import show_folds
from d2lrun.report.tables import show_result


def replaced(make):
    """The damage: ``make(path)`` after the file is gone."""

    def change(path, content):
        path.unlink()
        make(path)

    return change


def rewritten(make):
    """The damage: ``make(content)`` is the new content."""
    return lambda path, content: path.write_bytes(make(content))


def sparse(path, content):
    with open(path, "wb") as file:
        file.truncate(1 << 40)


DAMAGES = {
    "random": rewritten(lambda content: bytes(range(256)) * 8),
    "a folder": replaced(lambda path: path.mkdir()),
    "a pipe": replaced(os.mkfifo),
    "a loop of links": replaced(lambda path: path.symlink_to(path.name)),
    "endless": replaced(lambda path: path.symlink_to("/dev/zero")),
    "a terabyte": sparse,
    "a long number": rewritten(lambda content: b"9" * 5000),
    "a huge number": rewritten(lambda content: b'{"epoch": 1%s, "seconds": 1e999}' % (b"0" * 400)),
    "deep objects": rewritten(lambda content: b'{"a":' * 50_000),
    "UTF-16": rewritten(lambda content: content.decode("utf-8", "replace").encode("utf-16")),
}
VERBS = (["resume", "run"], ["evaluate", "run"], ["compare", "run"], ["predict", "run"])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_ends_in_words_at_once(room, forks, golden, damage):
    """Each file in turn, each time read by another verb; a process that hangs is killed, which is another code."""
    older = golden.commits()[1].stem
    places = [path.relative_to(golden.run) for path in golden.run.rglob("*") if path.is_file() and path.stem != older]
    places.sort()
    verbs = cycle(VERBS[len(damage) % len(VERBS) :] + VERBS[: len(damage) % len(VERBS)])
    for place in places:
        shutil.copytree(golden.run, room.run)
        DAMAGES[damage](room.run / place, (golden.run / place).read_bytes())
        words = next(verbs)
        try:
            outcome = forks(room, words)
            assert outcome.code in (0, 1, 2), (place, words, outcome)
            assert "fault of d2lrun" not in outcome.err, (place, words)
            if outcome.code:
                first, *_, last = outcome.err.splitlines()
                assert first.startswith("error: ") and last.startswith("hint: "), (place, words, outcome)
            assert not list(room.run.rglob("*.tmp"))
        finally:
            shutil.rmtree(room.run)  # nothing else reads what is a pipe now, or a terabyte


WRONG = [None, True, -1, 10**400, 1e308, float("nan"), "x", "", [], [[]], {}, {"a": 1}, [None], [1, 2, 3]]
TURNS = 5  # each place has every fifth of these


def places_in(value: Any) -> Iterator[tuple]:
    """The path of keys to everything in a value of JSON."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (key,)
        yield from ((key, *rest) for rest in places_in(value[key]))


def changed(value: Any, place: tuple, new: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return changed


def folded(result: dict[str, Any]) -> dict[str, Any]:
    """The same as the result of two folds, none of them better than a constant, with a refit."""
    told = {key: result[key] for key in ("status", "seed", "epochs", "seconds", "metrics", "dead")}
    fold = {"directory": "fold-0", "floor": result["floor"] | {"at_chance": True}, **told}
    spread = {name: {"mean": value, "std": 0.1} for name, value in result["metrics"].items()}
    refit = {**fold, "test_set": "measured once"}
    return result | {"metrics": spread, "folds": [fold, fold], "refit": refit, "floor": fold["floor"]}


@pytest.fixture(params=[show_result, show_folds])
def shown(request, golden):
    """The result.json of a run or of folds with everything that one may have, and the function that shows it."""
    result = golden.result() | {"baselines": {"uniform": 27.0}, "note": "a note", "notes": ["another"]}
    result |= {"table": {"title": "errors", "heads": ["steps", "rmse"], "rows": [[1, 0.5], ["all", None]]}}
    result |= {"book": {"section": "4.6", "band": {"test_accuracy": [0.8, 0.9]}, "inside": None, "changed": ["seed"]}}
    result |= {"dead": {"epoch": 3, "hint": "another seed"}, "floor": result["floor"] | {"at_chance": True}}
    return (folded(result) if request.param is show_folds else result), request.param


def test_any_value_in_a_result_is_shown_or_unfinished(shown, tmp_path):
    result, show = shown
    assert is_sound(result)
    console = Console(file=io.StringIO(), width=80)
    soundness = set()
    for number, place in enumerate(places_in(result)):
        for value in WRONG[number % TURNS :: TURNS]:
            damaged = changed(result, place, value)
            soundness.add(is_sound(damaged))
            if is_sound(damaged):
                show(console, damaged, tmp_path)
    assert soundness == {True, False}
