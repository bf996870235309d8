"""What a page of docs/ says to do is done, in a copy of the project."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("d2lrun", "conf", "hydra_plugins")
CODE = re.compile(r"((?:.+\n)+)\n```(?:python|yaml)\n((?:.|\n)*?)```")  # a block, and the paragraph before it


def copied(to: Path) -> Path:
    """A copy of what the program consists of, in the folder ``to``."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def follow(project: Path, page: str, heading: str) -> list[str]:
    """Do in ``project`` what the section ``heading`` of ``page`` says; returns the files that it names, in its order.

    Each block of code is the file that the paragraph before it names first, or a line of its table `NAME`.
    """
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    named = []
    for told, code in CODE.findall(text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]):
        name = re.search(r"`((?:d2lrun|conf)/[\w./-]+)`", told)[1]
        path, table = project / name, re.search(r"table `(\w+)`", told)
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            with_line(path.read_text(encoding="utf-8"), table[1], code) if table else code, encoding="utf-8"
        )
        named.append(name)
    return named


def with_line(text: str, table: str, line: str) -> str:
    """The text of a Python file with one more line in a table."""
    before, begin, after = text.partition(f"\n{table} = {{\n")
    assert begin
    return before + begin + line + after


def changed(project: Path) -> set[str]:
    """The files of ``project`` that differ from the original, or that the original does not have."""
    files = [path.relative_to(project) for name in FOLDERS for path in (project / name).rglob("*") if path.is_file()]
    return {
        file.as_posix()
        for file in files
        if "__pycache__" not in file.parts
        and not ((ROOT / file).is_file() and (ROOT / file).read_bytes() == (project / file).read_bytes())
    }
