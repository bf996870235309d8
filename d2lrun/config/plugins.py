"""Plugins: files and installed packages whose code adds networks and datasets (config/registry.py).

Only what the user names on the command line, with ``--plugin FILE.py``, or has installed is run. A run records the path
and the sha256 of the file, and this record never causes an import.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from functools import cache
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from d2lrun.config.code import fingerprint, shown
from d2lrun.config.tables import BY_GROUP, Source
from d2lrun.errors import Refused

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from d2lrun.config.keys import Config

OPTION = "--plugin"
GROUP = "d2lrun.plugins"  # of the entry points of packages
LARGEST = 10 << 20  # bytes of a file
HINT = "correct the plugin; --debug shows the whole traceback"
LOADED: dict[Path, str] = {}  # the sha256 of each file that was named


class Loader(SourceLoader):
    """Runs the bytes of a file that were hashed, and writes no bytecode beside it."""

    def __init__(self, path: Path, content: bytes):
        self.path, self.content = path, content

    def get_filename(self, fullname: str) -> str:
        """Return the path of the file, for tracebacks."""
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        """Return the content of the file; raises OSError for any other file, such as one with bytecode."""
        if path != str(self.path):
            raise OSError(path)
        return self.content


def taken(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the files of ``--plugin FILE`` and ``--plugin=FILE`` among the words, and the other words.

    Raises Refused if no file follows.
    """
    files, others, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        option, equals, file = word.partition("=")
        if option != OPTION:
            others.append(word)
        elif equals or rest:
            files.append(file if equals else rest.pop(0))
        else:
            raise Refused(f"{OPTION}: no file", f"{OPTION} FILE.py")
    return files, others


def named() -> list[str]:
    """Return the words of a command line that name the loaded files."""
    return [word for path in LOADED for word in (OPTION, shown(path))]


def command(*words: object) -> str:
    """Return the command ``d2lrun WORD...`` with the plugins of this one, quoted for a shell."""
    return shlex.join(["d2lrun", *named(), *map(str, words)])


def load(files: list[str]) -> None:
    """Run the files, each once; raises Refused with the line of an error."""
    for file in files:
        path = Path(file).expanduser().absolute()
        content = content_of(path, file)
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in LOADED.values():  # else it is named twice, perhaps by a link to it
            before = lines()
            run(path, content, f"d2lrun_plugin_{path.stem}_{sha256[:8]}")
            if lines() == before:
                raise Refused(
                    f"{OPTION} {file}: it registers no network and no dataset",
                    "decorate one with @d2lrun.model(NAME) or @d2lrun.dataset(NAME, task=TASK)",
                )
            LOADED[path] = sha256


def content_of(path: Path, file: str) -> bytes:
    """Return the content of a plugin's file; raises Refused."""
    if path.suffix != ".py" or not path.is_file():
        problem = "no such file" if not path.exists() else "not a file" if not path.is_file() else "not a Python file"
        raise Refused(f"{OPTION} {file}: {problem}", f"{OPTION} FILE.py")
    try:
        if path.stat().st_size > LARGEST:
            raise Refused(f"{OPTION} {file}: more than {LARGEST >> 20} MiB", "give a file of Python code")
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{OPTION} {file}: {error.strerror}", "wanted a file that can be read") from error


def lines() -> list[object]:
    """Return the lines that were added to the tables."""
    return [line for table in BY_GROUP.values() for line in table.values() if line.added]


def run(path: Path, content: bytes, name: str) -> ModuleType:
    """Run the content of a file as a module and return it; raises Refused with the line of an error."""
    loader = Loader(path, content)
    spec = spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise AssertionError("the loader is given")
    linecache.checkcache(str(path))
    module = sys.modules[name] = module_from_spec(spec)
    here, words = os.getcwd(), [*sys.argv]
    try:
        loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: the file is no program
        del sys.modules[name]
        raise refusal(path, error) from error
    finally:  # the command's paths are relative to its folder, and Hydra reads its words
        os.chdir(here)
        sys.argv[:] = words
    return module


def refusal(path: Path, error: BaseException) -> Refused:
    """Return a Refused that names the line of a file at which an error was raised."""
    if isinstance(error, SyntaxError) and error.filename in (str(path), None):  # None: not even text
        where = ":".join([shown(path), *([str(error.lineno)] if error.lineno else [])])
        return Refused(f"{where}: not valid Python: {error.msg}", HINT)
    found = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"{shown(path)}:{found[-1]}" if found else shown(path)
    if isinstance(error, Refused):
        return error if str(error).startswith(f"{path.name}:") else Refused(f"{where}: {error}", error.hint)
    return Refused(f"{where}: {type(error).__name__}: {error}", HINT)


def installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of installed packages that add networks or datasets."""
    from importlib.metadata import entry_points  # which takes 0.04 s

    return tuple(entry_points(group=GROUP))


@cache
def load_installed() -> None:
    """Import the modules that installed packages name; raises Refused."""
    for entry in installed():
        try:
            entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            package = entry.dist.name if entry.dist else entry.value
            frames = traceback.extract_tb(error.__traceback__)
            where = f"{frames[-1].filename}:{frames[-1].lineno}: "
            raise Refused(
                f"the plugin {entry.name} of the package {package}: {where}{type(error).__name__}: {error}",
                f"correct it, or remove it with pip uninstall {package}",
            ) from error


def sources(config: Config) -> Iterator[tuple[str, str, Source, Source | None]]:
    """Yield group, name, the recorded source and the loaded one, of the network and dataset that have a source."""
    for group, table in BY_GROUP.items():
        option = getattr(config, group)
        if recorded := getattr(option, "source", None):
            line = table.get(option.name)
            yield group, option.name, recorded, line.added.source if line and line.added else None


def refuse_missing(group: str, option: Any) -> None:
    """Raise Refused if the code of a config group ``model`` or ``dataset`` is not loaded."""
    recorded = getattr(option, "source", None)
    if recorded is None or option.name in BY_GROUP[group]:
        return
    if recorded.path:
        path = shown(Path(recorded.path))
        raise Refused(
            f"{group}={option.name}: its code is not loaded; it is in {path}",
            f"add {shlex.join([OPTION, path])}; in Python, import it",
        )
    again = "d2lrun.load(RUN, model=NETWORK) or d2lrun.resume(RUN, model=NETWORK)" if group == "model" else ""
    raise Refused(
        f"{group}={option.name}: its code was given in Python, and is not given now",
        f"in Python: {again or 'register it again'}",
    )


def changes(config: Config) -> list[str]:
    """Return a remark on the code of the network or dataset if it is not as when the run began. Raises Refused."""
    for group in BY_GROUP:
        refuse_missing(group, getattr(config, group))
    what = {True: "its file, or one that it imports,", False: "its code"}
    return [
        f"{group}={name}: {what[recorded.path is not None]} has changed since the run began "
        f"(sha256 {recorded.sha256[:8]} then, {loaded.sha256[:8]} now)"
        for group, name, recorded, loaded in sources(config)
        if loaded and loaded.sha256 != recorded.sha256
    ]


def refuse_changed(config: Config) -> None:
    """Raise Refused if a run cannot be trained with the code that is loaded."""
    for change in changes(config):
        raise Refused(change, "restore it, or start a new run with the code of now")


def refuse_stale(config: Config) -> None:
    """Raise Refused if code that was given in Python uses other values or functions than when it was registered."""
    for group, table in BY_GROUP.items():
        name = getattr(config, group).name
        added = table[name].added if name in table else None
        if added and added.code is not None and fingerprint(added.code) != added.source.sha256:
            raise Refused(
                f"{group}={name}: a value or function that its code uses has changed since it was defined",
                "restore it; or run the definition again for a new run",
            )
