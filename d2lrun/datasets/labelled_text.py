"""The user's own labelled texts: files of rows, text and label, or a folder with a subfolder for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from d2lrun.counts import counted
from d2lrun.disk.content import Content, fingerprint
from d2lrun.disk.files import sha256
from d2lrun.disk.locate import Progress, Say
from d2lrun.disk.rows import Rows, read_rows
from d2lrun.disk.texts import LIMIT, decode, known, read_file
from d2lrun.errors import Refused
from d2lrun.tasks.text_classification.texts import Labelled, LabelledTexts, build

NAME = "labelled-text"
GIVE = "give dataset.path=FILE.tsv, FILE.csv, or a folder with a subfolder for each class"
TEXT = ("text", "texts", "sentence", "review", "content", "comment", "document", "body", "文本", "内容", "评论", "句子")
LABEL = ("label", "labels", "class", "category", "sentiment", "target", "y", "标签", "类别", "情感", "分类")


def load(
    path: list[str],
    test: list[str],
    encoding: str,
    text: str | int | None,
    label: str | int | None,
    kind: str,
    rule: str,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> LabelledTexts:
    """Return the dataset on the CPU. Raises Refused that names the file and the line."""
    known(encoding)
    if not path:
        raise Refused(f"dataset={NAME} needs dataset.path", GIVE)
    reader = Reader(encoding, text, label, say)
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for place in path:
        inside = {name: os.path.join(place, name) for name in parts}
        if os.path.isdir(os.path.expanduser(inside["train"])):
            for name, folder in inside.items():
                if name == "train" or os.path.isdir(os.path.expanduser(folder)):
                    parts[name] += reader.read(folder)
        else:
            parts["train"] += reader.read(place)
    for place in test:
        parts["test"] += reader.read(place)
    labels = {label for _, label in parts["train"]}
    if len(labels) < 2:
        found = counted(len(parts["train"]), "text")
        raise Refused(
            f"{', '.join(path)}: {found} with one class only ({', '.join(labels)}): there is nothing to learn",
            "give texts of two classes or more, or name the column of the labels: dataset.label=NAME",
        )
    train, test_part = (Labelled(*map(list, zip(*rows))) for rows in parts.values())
    places = ", ".join([*path, *test])
    return build(NAME, train, test_part, places, contents=reader.contents, kind=kind, rule=rule)


class Reader:
    """Reads files and folders of labelled texts, at most ``LIMIT`` bytes together, and remembers their contents."""

    def __init__(self, encoding: str, text: str | int | None, label: str | int | None, say: Say):
        self.encoding, self.text, self.label, self.say = encoding, text, label, say
        self.contents: list[Content] = []
        self.columns: tuple[int, int] | None = None  # of the first file: a later one has the same, if it has no names
        self.left = LIMIT

    def read(self, place: str) -> list[tuple[str, str]]:
        """Return the (text, label) pairs of a file or a folder; raises Refused."""
        found = self.folder(place) if os.path.isdir(os.path.expanduser(place)) else self.file(place)
        if not found:
            raise Refused(f"{place} has no labelled text", GIVE)
        return found

    def bytes_of(self, path: str) -> bytearray:
        """Return the bytes of a file; raises Refused."""
        content = read_file(path, self.left)
        self.left -= len(content)
        return content

    def file(self, path: str) -> list[tuple[str, str]]:
        """Return the pairs of a file of rows."""
        content = self.bytes_of(path)
        self.contents.append(Content(path, sha256(content)))
        rows = read_rows(path, decode(path, content, self.encoding))
        text, label, headed = columns_of(path, rows, self.text, self.label, self.columns)
        self.columns = self.columns or (text, label)
        names = [f"{part} in column {column + 1}" for part, column in (("texts", text), ("labels", label))]
        body = rows.cells[headed:]
        self.say(f"{path}: {counted(len(body), 'row')}, {names[0]}, {names[1]}, {'a' if headed else 'no'} header")
        pairs = []
        for number, cells in zip(rows.numbers[headed:], body):
            if not cells[label].strip():
                raise Refused(f"{path}, line {number}: no label", "give each text a label, or remove the line")
            pairs.append((cells[text], cells[label].strip()))
        return pairs

    def folder(self, path: str) -> list[tuple[str, str]]:
        """Return the pairs of a folder: the .txt files of each subfolder, whose name is the class."""
        pairs, skipped = [], 0
        classes = visible(Path(os.path.expanduser(path)))
        for folder in classes:
            names = visible(folder) if folder.is_dir() else [folder]
            texts = [name for name in names if name != folder and name.suffix.lower() == ".txt" and name.is_file()]
            skipped += len(names) - len(texts)
            contents = [decode(str(name), self.bytes_of(str(name)), self.encoding) for name in texts]
            pairs += [(content, folder.name) for content in contents]
            pieces = [piece for name, content in zip(texts, contents) for piece in (name.name, content)]
            if texts:
                self.contents.append(Content(str(folder), fingerprint(*pieces)))
        if skipped:
            self.say(f"{path}: {counted(skipped, 'file')} skipped that are no .txt file of a class")
        return pairs


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder, without hidden names, sorted."""
    try:
        return sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror or error}", GIVE) from None


def columns_of(
    path: str, rows: Rows, text: str | int | None, label: str | int | None, before: tuple[int, int] | None = None
) -> tuple[int, int, bool]:
    """Return the columns of the texts and of the labels, and whether the first row has their names; raises Refused.

    A column is given by its name or number, or has a usual name, or is the same as in the file ``before``. Else the
    labels are in the column with the fewest different values, and the texts in the column with the most characters.
    """
    first = [cell.strip() for cell in rows.cells[0]]
    width = len(first)
    if width < 2:
        raise Refused(
            f"{path}, line {rows.numbers[0]}: one column, wanted a text and a label",
            "separate them by a tab (.tsv) or a comma (.csv)",
        )
    wanted = {"text": (text, TEXT), "label": (label, LABEL)}
    usual = {key: column_named(first, names) for key, (_, names) in wanted.items()}
    named = [usual[key] is not None for key in wanted]
    placed = [is_number(given) for given, _ in wanted.values()]
    headed = any(given in first for given, _ in wanted.values()) or (any(named) and all(map(max, named, placed)))
    found = {key: column_given(path, key, given, first) for key, (given, _) in wanted.items()}
    if headed:
        found = {key: usual[key] if column is None else column for key, column in found.items()}
    if before is not None and max(before) < width:
        found = {key: place if found[key] is None else found[key] for key, place in zip(found, before)}
    body = rows.cells[headed:]
    free = [column for column in range(width) if column not in found.values()]
    label_column, text_column = found["label"], found["text"]
    if label_column is None:
        label_column = min(free, key=lambda column: len({cells[column] for cells in body}))
        free = [column for column in free if column != label_column]
    if text_column is None:
        text_column = max(free, key=lambda column: sum(len(cells[column]) for cells in body))
    if text_column == label_column:
        raise Refused(f"{path}: column {text_column + 1} is given for texts and labels", "give two different columns")
    return text_column, label_column, headed


def is_number(given: str | int | None) -> bool:
    """Whether a column is given by its number; the command line passes it on as text."""
    return str(given).isdecimal() and len(str(given)) < 10


def column_named(first: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the first column with one of the usual ``names``."""
    return next((column for column, cell in enumerate(first) if cell.lower() in names), None)


def column_given(path: str, key: str, given: str | int | None, first: Sequence[str]) -> int | None:
    """Return the column that the user names, by name or number from 1; raises Refused if there is none."""
    if given is None or given in first:
        return None if given is None else first.index(str(given))
    if is_number(given) and 1 <= int(given) <= len(first):
        return int(given) - 1
    columns = ", ".join(f"{number} {cell[:20]!r}" for number, cell in enumerate(first, 1))
    raise Refused(f"dataset.{key}={given}: no such column in {path}", f"its columns are {columns}")
