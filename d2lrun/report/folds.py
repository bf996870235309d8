"""The results of K folds: a table with their mean, their curves in one picture, and a page with both."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import SPLITS, mean_and_std, split_of
from d2lrun.disk import files
from d2lrun.report.curves import STYLES, metric_names, number
from d2lrun.report.figure import new_figure, save
from d2lrun.report.layout import head
from d2lrun.report.page import embed, fact_rows, page_of, table
from d2lrun.report.progress import metrics_of
from d2lrun.report.scale import plain_ticks
from d2lrun.report.tables import (
    baseline_rows,
    book_rows,
    chance_words,
    counted,
    files_row,
    grid,
    heading,
    notes_of,
    pairs,
    show,
)
from d2lrun.report.text import duration, measured, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console
    from rich.table import Table

FAINT = 0.35  # opacity of the line of a single fold


def fold_line(name: str, result: dict[str, Any]) -> str:
    """Return 'fold-0: train loss 0.383 accuracy 0.864  val loss 0.401 accuracy 0.857  7.1 s'."""
    metrics = real(result["metrics"])
    splits = [f"{split} {metric_words}" for split in SPLITS if (metric_words := metrics_of(metrics, split))]
    return f"{name}: {'  '.join(splits)}  {duration(result['seconds'])}"


def show_folds(console: Console, result: dict[str, Any], directory: Path) -> None:
    """Print the result of a K-fold run: ``result`` is its result.json, ``directory`` the folder of its files."""
    count = counted(len(result["folds"]), "fold")
    heading(console, f"{result['model']} on {result['dataset']}, {count}, seed {result['seed']}: {result['status']}")
    show(console, fold_table(result))
    console.print()
    means = real({name: mean_and_std(each)[0] for name, each in result["metrics"].items()})
    rows = [("time", f"{counted(result['epochs'], 'epoch')} in {duration(result['seconds'])}")]
    rows += book_rows(result["book"], means)
    if refit := result.get("refit"):
        test_words = metrics_of(real(refit["metrics"]), "test")
        test = f"test {test_words} ({refit['test_set']})" if test_words else f"test set {refit['test_set']}"
        rows.append(("refit", f"on all training data, {counted(refit['epochs'], 'epoch')}: {test}"))
    rows += baseline_rows(result)
    rows += [("note", note) for note in notes_of(result)]
    if lost := chance_words(result):
        rows.append(("at chance", lost))
    rows += files_row(directory)
    console.print(pairs(console, rows))
    say(console, f" directory   {directory}")


def fold_table(result: dict[str, Any]) -> Table:
    """Return a table: a row per fold, then mean and standard deviation; a column per metric of train and val."""
    names = [name for name in result["metrics"] if split_of(name)]
    rows = grid("", *(name.replace("_", " ") for name in names))
    for fold in result["folds"]:
        rows.add_row(fold["directory"], *(of(fold["metrics"].get(name)) for name in names))
    rows.add_section()
    for label, key in (("mean", "mean"), ("± std", "std")):
        rows.add_row(label, *(of(result["metrics"][name][key]) for name in names))
    return rows


def draw_folds(path: Path, curves: dict[str, list[dict[str, Any]]], title: str) -> None:
    """Write a PNG: a panel for each metric, with a faint line for each fold and a strong line for their mean.

    ``curves`` has the lines of metrics.jsonl by the name of the fold.
    """
    records = [record for each in curves.values() for record in each]
    names = metric_names(records)
    if not names:
        return
    figure = new_figure(750 * len(names), 600)
    head(figure, title)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draw_panel(axes, name, list(curves.values()))
    figure.set_layout_engine("tight")
    save(figure, path)


def draw_panel(axes: Axes, name: str, curves: list[list[dict[str, Any]]]) -> None:
    """Draw one metric of all folds, in training and in validation."""
    from matplotlib.ticker import MaxNLocator

    longest = max(map(len, curves))
    for split, style in STYLES.items():
        key = f"{split}_{name}"
        lines = [[number(record.get(key)) for record in records] for records in curves if key in records[0]]
        for line in lines:
            axes.plot(range(1, len(line) + 1), line, color=style["color"], linewidth=0.8, alpha=FAINT)
        if lines:
            shared = min(map(len, lines))  # with early stopping a fold may end before the others
            mean = [sum(values) / len(lines) for values in zip(*(line[:shared] for line in lines))]
            label = f"{split}: mean of {len(lines)}, {mean[-1]:.4g} in the end"
            axes.plot(
                range(1, shared + 1), mean, color=style["color"], linestyle=style["linestyle"], linewidth=2, label=label
            )
    axes.set(xlabel="epoch", ylabel=name.replace("_", " "), xlim=(0.5, longest + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain_ticks(axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.legend(fontsize=8, framealpha=0.8)


def write_folds_page(path: Path, result: dict[str, Any], config: str) -> None:
    """Write the page of a finished K-fold run, with the PNGs in the folder of ``path``."""
    title = f"{result['model']} on {result['dataset']}, {len(result['folds'])} folds, seed {result['seed']}"
    names = [name for name in result["metrics"] if split_of(name)]
    rows = [[fold["directory"], *(of(fold["metrics"].get(name)) for name in names)] for fold in result["folds"]]
    rows += [[key, *(of(result["metrics"][name][key]) for name in names)] for key in ("mean", "std")]
    means = {name: mean_and_std(each)[0] for name, each in result["metrics"].items()}
    parts = [
        table(["fold", *(name.replace("_", " ") for name in names)], rows),
        table([], fact_rows(result | {"metrics": means})),
        *map(embed, sorted(path.parent.glob("*.png"))),
        f"<h2>Configuration</h2>\n<pre>{escape(config)}</pre>",
    ]
    files.write_atomic(path, page_of(title, "\n".join(parts)))


def real(metrics: dict[str, float | None]) -> dict[str, float]:
    """Return the metrics with NaN for null: a value that is not finite is null in the file."""
    return {name: math.nan if value is None else value for name, value in metrics.items()}


def of(value: float | None) -> str:
    """Return the value with four decimals, so that folds differ; a large number without decimals; – for null."""
    return "–" if value is None else f"{value:.4f}" if abs(value) < 1000 else measured(value)
