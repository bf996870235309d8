"""Small tables of results, for terminals of 80 columns and, at least readable, of 40."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import SPLITS, name_of, speeds, split_of
from d2lrun.disk import files, rundir
from d2lrun.report.text import counted, duration, measured, printable, say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def show_result(console: Console, result: dict[str, Any], directory: Path) -> None:
    """Print the result of a run: ``result`` is its result.json, ``directory`` the folder of its files."""
    heading(console, f"{result['model']} on {result['dataset']}, seed {result['seed']}: {result['status']}")
    # a value that is not finite is null in the file
    metrics = {name: math.nan if value is None else value for name, value in result["metrics"].items()}
    if table := metric_table(metrics):
        show(console, table)
        console.print()
    if more := result.get("table"):
        say(console, f" {more['title']}")
        show(console, grid_of(console, more))
        console.print()
    rows = [("parameters", f"{result['parameters']:,}")] if result.get("parameters") is not None else []
    for unit, speed in speeds(metrics):
        rows.append(("speed", f"{speed:,.0f} {unit}/s (whole epochs: training + evaluation)"))
    if (norm := metrics.get("weight_norm")) is not None:
        rows.append(("weights", f"‖w‖ {measured(norm)}"))
    rows += baseline_rows(result)
    rows += [("note", note) for note in notes_of(result)]
    rows.append(("time", f"{counted(result['epochs'], 'epoch')} in {duration(result['seconds'])}"))
    rows += book_rows(result.get("book"), metrics)
    rows += parent_rows(result)
    if at_chance := chance_words(result):
        rows.append(("at chance", at_chance))
    if text := last_sample(directory):
        rows.append(("sample", text))
    rows += files_row(directory)
    console.print(pairs(console, rows))
    say(console, f" directory   {directory}")


def grid_of(console: Console, more: dict[str, Any]) -> Table:
    """Return the table of a task: ``more`` is the entry "table" of result.json."""
    table = grid(*(words(console, head).plain for head in more["heads"] or [""]))
    for row in more["rows"]:
        table.add_row(*(words(console, cell_of(cell)) for cell in row))
    return table


def cell_of(value: str | float | None) -> str:
    """Return a cell of a task's table: a text, a whole number, or a number like a metric."""
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else measured(value)


def baseline_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a row with the metrics of predictions without a network; no row if the task has none."""
    baselines, floor = result.get("baselines"), result.get("floor")
    if not baselines:
        return []
    metric = f"{floor['metric'].replace('_', ' ', 1)}: " if floor else ""
    return [("baselines", metric + ", ".join(f"{name} {measured(value)}" for name, value in baselines.items()))]


def parent_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a row with the run that this run continues; no row if it began by itself."""
    parent = result.get("parent")
    return [("continues", f"{parent['parent']} after {counted(parent['epochs'], 'epoch')}")] if parent else []


def notes_of(result: dict[str, Any]) -> list[str]:
    """Return the remarks on a run's metrics; a run of an earlier version has at most one."""
    return [note for note in [*rundir.notes_of(result), result.get("note")] if note]


def chance_words(result: dict[str, Any]) -> str:
    """Return 'val loss 2e+10 is no better than always the mean of the training targets (1.300); try …', or "".

    ``result`` is the result.json of a run, or of K folds.
    """
    floor, dead = result.get("floor"), result.get("dead")
    reasons = []
    lost = sum(bool((fold.get("floor") or {}).get("at_chance")) for fold in result.get("folds", []))
    if floor and (floor["at_chance"] or lost):
        constant = f"no better than {floor['constant']} ({measured(floor['value'])})"
        name = floor["metric"].replace("_", " ", 1)
        if "folds" in result:
            reasons.append(f"{lost} of {counted(len(result['folds']), 'fold')}: {name} {constant}")
        else:
            reasons.append(f"{name} {measured(result['metrics'][floor['metric']])} is {constant}")
    elif dead:
        fold = "a fold is " if "folds" in result else ""
        reasons.append(f"{fold}no better than guessing after epoch {dead['epoch']}")
    return "; ".join([*reasons, *([dead["hint"]] if dead else [])])


def files_row(directory: Path) -> list[tuple[str, str]]:
    """Return a row with the files in a directory, for ``pairs``; no row if there are none."""
    names = ", ".join(sorted(path.name for path in directory.glob("[!.]*.*") if path.is_file()))
    return [("files", names)] if names else []


def last_sample(directory: Path) -> str:
    """Return the newest text of samples.txt on one line; an empty text if there is none."""
    try:
        samples = files.read(directory / "samples.txt").decode("utf-8", "replace")
    except OSError:
        return ""
    return " ".join(re.split(r"^epoch \d+: ", samples, flags=re.MULTILINE)[-1].split())


def metric_table(metrics: dict[str, float]) -> Table | None:
    """Return a table with a row for each of train, val and test, and a column for each metric."""
    names = list(dict.fromkeys(name_of(key) for key in metrics if split_of(key)))
    if not names:
        return None
    table = grid("", *(name.replace("_", " ") for name in names))
    for split in SPLITS:
        values = [measured(metrics[key]) if (key := f"{split}_{name}") in metrics else "" for name in names]
        if any(values):
            table.add_row(split, *values)
    return table


def book_rows(book: dict[str, Any] | None, metrics: dict[str, float]) -> list[tuple[str, str]]:
    """Return a row per metric that compares it with the band of the book's builds."""
    if book is None:
        return []
    label = f"book §{book['section']}"
    if book.get("changed"):
        options = [key.removesuffix(".name") for key in book["changed"] if key.endswith(".name")]
        inside = tuple(f"{group}." for group in options)  # the keys of another option add no information
        changed = options + [key for key in book["changed"] if not key.startswith(inside)]
        return [(label, f"not comparable: changed {', '.join(changed)}")]
    verdicts = [verdict(name, metrics.get(name), *ends) for name, ends in book["band"].items()]
    return [("" if row else label, text) for row, text in enumerate(verdicts)]


def verdict(name: str, value: float | None, low: float, high: float) -> str:
    """Return 'train loss 0.383 in [0.377, 0.386] ✓'.

    The numbers have three digits after the point, or more: until the printed numbers compare as the numbers do.
    """
    words = name.replace("_", " ")
    if value is None:
        return f"{words} was not measured, the band is {shown_band(low, high, 3)}"
    inside = low <= value <= high
    digits = next(digits for digits in itertools.count(3) if is_inside(low, value, high, digits) == inside)
    band = shown_band(low, high, digits)
    return f"{words} {value:.{digits}f} " + (f"in {band} ✓" if inside else f"outside {band} ✗")


def is_inside(low: float, value: float, high: float, digits: int) -> bool:
    """Whether ``value`` is in the band if all are rounded to ``digits`` digits: 0.3864 is in [0.377, 0.386] with 3."""
    left, given, right = (float(f"{number:.{digits}f}") for number in (low, value, high))
    return left <= given <= right


def shown_band(low: float, high: float, digits: int) -> str:
    """Return a band with at most ``digits`` digits after the point, and at least three, as [0.377, 0.3865]."""
    ends = [re.sub(r"(\.\d{3}\d*?)0+$", r"\1", f"{end:.{digits}f}") for end in (low, high)]
    return f"[{', '.join(ends)}]"


def heading(console: Console, text: str) -> None:
    """Print a heading."""
    from rich.text import Text

    console.print(Text(printable(console, text), style="bold"), soft_wrap=True)


def grid(first: str, *others: str) -> Table:
    """Return an empty table: a left-aligned column of names, and right-aligned columns of numbers.

    A head is not parsed as markup: it may be the name of a user's column.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, collapse_padding=True)
    table.add_column(Text(first), overflow="fold")
    for name in others:
        table.add_column(Text(name), justify="right", overflow="fold", min_width=len(name))
    return table


def show(console: Console, table: Table) -> None:
    """Print a table without splitting a word; rich splits words in a column that is too narrow.

    Each column is at least as wide as its longest word, and the columns share the remaining width. If the longest
    words do not fit, each row is printed separately: its first cell, and below it the other cells after their heads.
    """
    from rich.cells import cell_len
    from rich.text import Text

    texts = [[str(text) for text in (column.header, *column.cells)] for column in table.columns]
    most = [max(cell_len(line) for text in column for line in ["", *text.splitlines()]) for column in texts]
    least = [max(cell_len(word) for text in column for word in ["", *text.split()]) for column in texts]
    least = [whole if column.no_wrap else words for column, whole, words in zip(table.columns, most, least)]
    natural = console.measure(table, options=console.options.update(width=10_000)).maximum
    if natural <= console.width:
        console.print(table)
        return
    room = console.width - (natural - sum(most)) - sum(least) - len(least)  # besides the longest words and a space
    if room < 0:
        for first, *others in list(zip(*texts))[1:]:
            console.print(Text(first, style="bold"))
            heads = [" ".join(column[0].split()) for column in texts[1:]]
            console.print(pairs(console, [(head, text) for head, text in zip(heads, others) if text]))
        return
    for column, whole, words in zip(table.columns, most, least):
        column.width, column.min_width = words + 1 + min(room, whole - words), None
        room -= column.width - words - 1
    console.print(table)


def pairs(console: Console, rows: list[tuple[str, str]]) -> Table:
    """Return a table with labels on the left and wrapped sentences on the right."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=11)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(words(console, f" {label}"), words(console, text))
    return table


def words(console: Console, text: str) -> Text:
    """Return a text that rich does not parse as markup; ✓ is green, ✗ is red."""
    from rich.text import Text

    styled = Text(printable(console, text))
    styled.highlight_words(["✓"], "bold green")
    styled.highlight_words(["✗"], "bold red")
    return styled
