"""The user's own table: a CSV file with a header, one column of which is predicted from the others."""

from __future__ import annotations

from d2lrun.disk.cells import Sheet, read_sheet
from d2lrun.disk.content import Content, fingerprint
from d2lrun.disk.locate import Found, Progress, Say
from d2lrun.disk.texts import decode, read_files
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.build import Roles, build, group_in, identifier_in
from d2lrun.tasks.tabular.table import TableDataset

NAME = "csv"


def load(
    path: str | None,
    test: str | None,
    target: str | int | None,
    encoding: str,
    task: str,
    categories: list[str],
    drop: list[str],
    id: str | int | None,
    group: str | None = None,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> TableDataset:
    """Return the dataset on the CPU; raises Refused that names the file and the line."""
    found = read_files(NAME, [each for each in (path, test) if each] if path else None, encoding)
    sheets = [read(file, encoding) for file in found]
    train, other = sheets[0], sheets[1] if test else None
    roles = roles_of(train, target, categories, drop, id, group)
    return build(
        NAME,
        train,
        other,
        roles,
        task=task,
        contents=[Content(file.origin, file.sha256) for file in found],
        pools={name: fingerprint(file.sha256, roles.target) for name, file in zip(("train", "test"), found)},
    )


def read(file: Found, encoding: str) -> Sheet:
    """Return the columns of a file."""
    return read_sheet(file.origin, decode(file.origin, file.content, encoding))


def roles_of(
    sheet: Sheet,
    target: str | int | None,
    categories: list[str],
    drop: list[str],
    id: str | int | None,
    group: str | None,
) -> Roles:
    """Return what the columns are for; raises Refused for a column that there is not, or that has two roles."""
    if target is None:
        have = f"the columns of {sheet.path} are {', '.join(sheet.columns)}"
        raise Refused(f"dataset={NAME} needs dataset.target, the column to predict; {have}", "give dataset.target=NAME")
    wanted = sheet.place_of("dataset.target", str(target))
    named, names = (
        tuple(sheet.place_of(f"dataset.{key}", each) for each in given)
        for key, given in (("drop", drop), ("categories", categories))
    )
    identifier = identifier_in(sheet, wanted) if id is None else sheet.place_of("dataset.id", str(id))
    if identifier in named:
        identifier = None
    if wanted in (*named, identifier):
        key = "dataset.drop" if wanted in named else "dataset.id"
        raise Refused(f"{key}={wanted}: it is the column to predict, too", "name another column, or leave it out")
    return Roles(wanted, identifier, group_in(sheet, group), named, names)
