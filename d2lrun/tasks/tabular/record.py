"""How the cells of a file become features, as a run records it: columns.json. P numbers, Q columns of categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from d2lrun.disk import files
from d2lrun.disk.kinds import Kind, every, maybe, number, pair, record, text
from d2lrun.disk.rundir import RunDirectory
from d2lrun.tasks.tabular.encoding import Field, Statistics
from d2lrun.tasks.tabular.table import Scale, TableDataset

truth: Kind = lambda value: isinstance(value, bool)  # noqa: E731
IS_COLUMN = record(
    {"name": text, "kind": text},
    {"mean": number, "deviation": number, "categories": every(text), "known": every(truth)},
)
IS_RECORD = record(
    {
        **{"target": text, "identifier": maybe(text), "classes": every(text), "logarithmic": truth},
        **{"scale": maybe(pair(number)), "missing": every(text), "columns": every(IS_COLUMN)},
    }
)


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a prediction needs to know of the table that the run was trained on."""

    target: str
    identifier: str | None
    classes: tuple[str, ...]
    logarithmic: bool
    scale: Scale | None
    missing: tuple[str, ...]
    fields: tuple[Field, ...]
    learned: Statistics


def recorded(data: TableDataset) -> Recorded:
    """Return what a prediction needs to know of a dataset that is read from a file and fitted."""
    assert data.learned is not None, "the columns of a file are fitted"
    facts = (data.target, data.identifier, data.classes, data.logarithmic, data.scale, data.missing)
    return Recorded(*facts, data.fields, data.learned)


def write(directory: RunDirectory, data: TableDataset) -> None:
    """Write columns.json."""
    known, content = recorded(data), []
    numbers = zip(known.learned.mean.tolist(), known.learned.deviation.tolist())
    categories = iter(known.learned.known.tolist())
    for field in known.fields:
        more: dict[str, Any] = {}
        if field.kind == "category":
            there = [next(categories) for _ in range(field.width)]
            more = {"categories": list(field.values), "known": there}
        elif field.kind != "text":
            more = dict(zip(("mean", "deviation"), next(numbers)))
        content.append({"name": field.name, "kind": field.kind, **more})
    head = {
        **{"target": known.target, "identifier": known.identifier, "classes": list(known.classes)},
        **{"logarithmic": known.logarithmic, "scale": known.scale and list(known.scale)},
        "missing": list(known.missing),
    }
    files.write_json(directory.columns_file, {**head, "columns": content})


def read(directory: RunDirectory) -> Recorded | None:
    """Return the record of a run; None if its rows are not from a file. Raises Refused if it is damaged."""
    content = files.read_record(directory.columns_file, IS_RECORD)
    if content is None:
        return None
    columns = content["columns"]
    numbers = [column for column in columns if column["kind"] in ("number", "date")]
    learned = Statistics(
        np.array([column.get("mean", 0.0) for column in numbers]),
        np.array([column.get("deviation", 0.0) for column in numbers]),
        np.array([known for column in columns for known in column.get("known", [])], dtype=bool),
    )
    return Recorded(
        content["target"],
        content["identifier"],
        tuple(content["classes"]),
        content["logarithmic"],
        content["scale"] and Scale(*content["scale"]),
        tuple(content["missing"]),
        tuple(map(field_of, columns)),
        learned,
    )


def field_of(column: dict[str, Any]) -> Field:
    """Return a column of the record."""
    values = tuple(column.get("categories", ()))
    if column["kind"] == "category":
        return Field(column["name"], len(values) + 1, kind="category", values=values)
    return Field(column["name"], width=0 if column["kind"] == "text" else 1, kind=column["kind"])
