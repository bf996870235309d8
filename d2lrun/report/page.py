"""report.html: a run on one page that works offline; pictures are embedded."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from d2lrun.config.metrics import SPLITS
from d2lrun.counts import counted
from d2lrun.disk import files
from d2lrun.report.curves import metric_names
from d2lrun.report.tables import baseline_rows, book_rows, cell_of, chance_words, notes_of, parent_rows
from d2lrun.report.text import duration

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
td, th {{ padding: .2rem .9rem .2rem 0; text-align: right; font-variant-numeric: tabular-nums; }}
td:first-child, th:first-child {{ text-align: left; }}
tr {{ border-bottom: 1px solid #ddd; }}
img {{ max-width: 100%; }}
pre {{ background: #f6f6f6; padding: 1rem; overflow-x: auto; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
RUN = """\
{facts}
{pictures}
{more}
{samples}
<h2>Epochs</h2>
{epochs}
<h2>Configuration</h2>
<pre>{config}</pre>
"""


def write_page(path: Path, result: dict[str, Any], records: list[dict[str, Any]], config: str) -> None:
    """Write the page of a finished run, with the PNGs in the folder of ``path``."""
    title = f"{result['model']} on {result['dataset']}, seed {result['seed']}: {result['status']}"
    body = RUN.format(
        facts=metric_table(result["metrics"]) + table([], fact_rows(result)),
        pictures="\n".join(map(embed, sorted(path.parent.glob("*.png")))),
        more=task_table(result.get("table")),
        samples=written(path.with_name("samples.txt")),
        epochs=table([key.replace("_", " ") for key in records[0]] if records else [], map(values, records)),
        config=escape(config),
    )
    files.write_atomic(path, page_of(title, body))


def page_of(title: str, body: str) -> str:
    """Return a whole page around the HTML ``body``."""
    return PAGE.format(title=escape(title), body=body)


def metric_table(metrics: dict[str, float]) -> str:
    """Return a table: a row for each measured split (train, val, test), a column for each metric."""
    measured = [split for split in SPLITS if f"{split}_loss" in metrics]
    names = metric_names([metrics])
    rows = ([split, *(number(metrics.get(f"{split}_{name}")) for name in names)] for split in measured)
    return table(["", *(name.replace("_", " ") for name in names)], rows)


def task_table(more: dict[str, Any] | None) -> str:
    """Return the table of a task with its title, the entry "table" of result.json; an empty text if there is none."""
    if not more:
        return ""
    return f"<h2>{escape(more['title'])}</h2>\n{table(more['heads'], [[*map(cell_of, row)] for row in more['rows']])}"


def fact_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the page's table of facts."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    trained = f"{counted(result['epochs'], 'epoch')}, {counted(result['steps'], 'step')}"
    return [
        *([label, text] for label, text in book_rows(result["book"], result["metrics"])),
        *([["at chance", at_chance]] if (at_chance := chance_words(result)) else []),
        *([["weight norm", number(norm)]] if (norm := result["metrics"].get("weight_norm")) is not None else []),
        *([label, text] for label, text in baseline_rows(result)),
        *(["note", note] for note in notes_of(result)),
        ["parameters", f"{result['parameters']:,}"],
        [
            "time",
            f"{trained} in {duration(result['seconds'])}",
        ],
        *([label, text] for label, text in parent_rows(result)),
        ["device", f"{result['device']}, {counted(result['threads'], 'thread')}"],
        ["versions", versions],
        ["config hash", result["config_hash"]],
    ]


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """Return an HTML table."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table>\n{f'<tr>{head}</tr>' if heads else ''}\n{body}</table>"


def values(record: dict[str, Any]) -> list[str]:
    """Return the values of a record as texts."""
    return [number(value) for value in record.values()]


def number(value: float | None) -> str:
    """Return a number as text; nan for null."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "nan"
    if isinstance(value, int):
        return f"{value:,}"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if value >= 0.001 or value == 0 else f"{value:.2e}"


def written(samples: Path) -> str:
    """Return the samples of a language model as HTML; an empty text if there is no such file."""
    if not samples.is_file():
        return ""
    text = files.read(samples).decode("utf-8", "replace")
    return f'<h2>Samples</h2>\n<pre style="white-space: pre-wrap">{escape(text)}</pre>'


def embed(picture: Path) -> str:
    """Return an HTML image with the picture inside."""
    data = base64.b64encode(files.read(picture)).decode()
    return f'<p><img alt="{escape(picture.stem)}" src="data:image/png;base64,{data}"></p>'
