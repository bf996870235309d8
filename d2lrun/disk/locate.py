"""Find a dataset's files. If the user names a folder, only that folder is searched.

Otherwise the folders of D2LRUN_DATA, the cache, the system's folder, and the mirrors are searched in this order.
A file is used only if the digest of its unpacked content is the published one; this is checked at every read. A file
that was unpacked or fetched is kept unpacked in the cache, so later starts only read and hash it.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from d2lrun.disk.download import Found, Progress, Unavailable, Unusable, download, unpack, verify
from d2lrun.disk.files import lock, regular, remove_leftovers, sha256, write_atomic
from d2lrun.errors import Refused

Say = Callable[[str], object]  # takes one line of text for the user


@dataclass(frozen=True)
class Files:
    """The files of a dataset, and the folders where other programs put them."""

    dataset: str
    # file name -> digest (download.py: KINDS), or first digits of the sha256, of the unpacked file, or of the archive
    sums: Mapping[str, str]
    limit: int  # largest size of a file, in bytes
    layouts: tuple[str, ...] = ()  # folders that other programs make below the user's
    system: str | None = None  # where the distribution's package puts the files
    package: str | None = None  # the package's name
    also: Mapping[str, Sequence[str]] = field(default_factory=dict)  # file name -> other names of that file
    suffix: str = ".gz"  # of the files on the mirrors
    fetch: str | None = "repeat the command"  # what fetches them from a network; None: nothing does
    extra: str | None = None  # the extra of d2lrun that installs them
    archive: bool = False  # whether the file is an archive, which stays packed
    by_dir: bool = True  # whether dataset.dir may name their folder
    instead: str | None = None  # hint: what to do without the files
    other: str | None = None  # hint: how to use files of the same form with other content


def locate(
    files: Files,
    dir: str | None,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> dict[str, Found]:
    """Return each verified file from ``dir``; without ``dir``, from the first place that has it.

    Raises Refused that names every place and its error.
    """
    places = places_of(files, dir, say)
    problems: list[str] = []
    searched = {name: search(name, files, places, problems, say) for name in files.sums}
    found = {name: file for name, file in searched.items() if file}
    unkept = [name for name in files.sums if name not in found or unpacked(files, found[name])]
    if dir and len(found) < len(files.sums):
        raise refusal(files, dir, [name for name in files.sums if name not in found], places, problems)
    if dir or not unkept:
        return found
    with writable_cache(cache_of(files.dataset), say) as cache:
        for name in unkept:
            kept = cache and kept_meanwhile(cache / name, files)
            try:
                found[name] = kept or found.get(name) or fetch(name, files, mirrors, say, progress)
            except Unavailable as failure:
                missing = [name for name in files.sums if name not in found]
                raise refusal(files, dir, missing, places, problems, failure.problems) from None
            if cache and not kept:
                keep(cache / name, found[name], say)
    return {name: found[name] for name in files.sums}


def places_of(files: Files, dir: str | None, say: Say = lambda line: None) -> dict[Path, list[Path]]:
    """Return the places to search, best first, each with its folders that may hold the files.

    If ``dir`` is given, it is the only place. A missing folder of D2LRUN_DATA is reported.
    """
    given = [dir] if dir else os.environ.get("D2LRUN_DATA", "").split(os.pathsep)
    users = [Path(os.path.expanduser(folder)) for folder in given if folder]
    places = {root: [root, *(root / layout for layout in (files.dataset, *files.layouts))] for root in users}
    if dir:
        return places
    for root in users:
        if not root.is_dir():
            say(f"D2LRUN_DATA: {root}: no such folder")
    others = [cache_of(files.dataset), *([Path(files.system)] if files.system else [])]
    return places | {root: [root] for root in others}


def cache_of(dataset: str) -> Path:
    """Return the cache folder of a dataset."""
    return Path(os.path.expanduser(os.environ.get("D2LRUN_CACHE") or "~/.cache/d2lrun"), dataset)


def candidates(name: str, folders: Sequence[Path], also: Sequence[str] = ()) -> list[Path]:
    """Return the files with this name or a name in ``also`` in ``folders``: plain files first, unpacking is slow."""
    paths = [folder / f"{file}{packed}" for file in (name, *also) for packed in ("", ".gz") for folder in folders]
    return [path for path in dict.fromkeys(paths) if os.path.isfile(path)]


def search(
    name: str, files: Files, places: Mapping[Path, Sequence[Path]], problems: list[str], say: Say
) -> Found | None:
    """Return the first valid file on this machine; the invalid files before it are added to ``problems``."""
    folders = [folder for folders in places.values() for folder in folders]
    for path in candidates(name, folders, files.also.get(name, ())):
        try:
            return read(path, files.limit, files.sums[name], files.archive)
        except Unusable as problem:
            problems.append(f"{path}: {problem}")
            say(f"{path}: {problem}; searching further")
    return None


def unpacked(files: Files, found: Found) -> bool:
    """Whether the file on this machine was packed, so that reading it again takes longer."""
    return not files.archive and found.origin.endswith(".gz")


def read(path: Path, limit: int, digest: str | None, archive: bool = False) -> Found:
    """Read a file, unpack it if it is no ``archive``, and verify it if there is a ``digest``; raises Unusable."""
    try:
        content = unpack(io.FileIO(path, opener=regular), limit, archive)
    except OSError as error:
        raise Unusable(error.strerror or str(error)) from None
    return Found(content, str(path), verify(content, digest) if digest else sha256(content))


@contextlib.contextmanager
def writable_cache(folder: Path, say: Say) -> Iterator[Path | None]:
    """Lock the cache ``folder`` for this process; yield None and report it if the folder cannot be written."""
    with contextlib.ExitStack() as stack:
        usable: Path | None = folder
        try:
            stack.enter_context(lock(folder / ".lock", lambda holder: say(f"waiting for {folder}: {holder} has it")))
        except OSError as error:
            say(f"{folder} cannot be written, so nothing is kept: {error}")
            usable = None
        else:
            remove_leftovers(folder)
        yield usable


def kept_meanwhile(path: Path, files: Files) -> Found | None:
    """Return the file in the cache, if another process put it there while this process waited."""
    with contextlib.suppress(Unusable):
        return read(path, files.limit, files.sums[path.name], files.archive)
    return None


def fetch(name: str, files: Files, mirrors: Sequence[str], say: Say, progress: Progress | None) -> Found:
    """Download the file from the first mirror that serves it; raises Unavailable."""
    if mirrors:
        say(f"fetching {name}{files.suffix}")
    urls = [f"{mirror.rstrip('/')}/{name}{files.suffix}" for mirror in mirrors]
    return download(urls, files.sums[name], files.limit, progress, archive=files.archive)


def keep(path: Path, file: Found, say: Say) -> None:
    """Put the file in the cache; if that fails, report it and continue."""
    try:
        write_atomic(path, file.content)
    except OSError as error:
        say(f"{path} is not kept: {error.strerror or error}")


def absences(files: Files, missing: Sequence[str], places: Mapping[Path, Sequence[Path]]) -> Iterator[str]:
    """Yield a line for each place where a file of ``missing`` does not exist, neither plain nor packed."""
    for root, folders in places.items():
        names = [name for name in missing if not candidates(name, folders, files.also.get(name, ()))]
        if names:
            absent = "none of them" if len(names) == len(missing) > 1 else f"no {', '.join(names)}"
            yield f"{root}: {absent if os.path.isdir(root) else 'no such folder'}"


def refusal(
    files: Files,
    dir: str | None,
    missing: Sequence[str],
    places: Mapping[Path, Sequence[Path]],
    problems: Sequence[str],
    of_mirrors: Sequence[str] = (),
) -> Refused:
    """Return the Refused with the error of each place and the possible solutions; with ``dir``, only of this place."""
    rows = [*problems, *absences(files, missing, places), *of_mirrors]
    listed = "".join(f"\n  {row}" for row in rows)
    if dir:
        message = f"dataset.dir={dir}: no good {', '.join(missing)} of {files.dataset} there{listed}"
        ways = ["name the folder that holds the files", "leave dataset.dir out to search and fetch them"]
        ways += [files.other] if files.other and problems else []  # there are files, but other ones
        return Refused(message, "; or ".join(ways))
    ways = [f"pip install 'd2lrun[{files.extra}]'"] if files.extra else []
    ways += [f"connect to the network and {files.fetch}"] if files.fetch else []
    if files.package:
        ways.append(f"install the package {files.package} (Debian, Ubuntu)")
    ways.append(f"put the files in a FOLDER and {'give dataset.dir=FOLDER or ' * files.by_dir}set D2LRUN_DATA=FOLDER")
    if files.instead:
        ways.append(files.instead)
    return Refused(f"{files.dataset}: no good {', '.join(missing)}; tried{listed}", "; or ".join(ways))
