"""A run's directory: its files, the lock on it, and the checks of its content."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from d2lrun.config import complaints, plugins, schema
from d2lrun.config.keys import ADDED, Config
from d2lrun.config.metrics import is_finite
from d2lrun.counts import counted
from d2lrun.disk import files
from d2lrun.disk.kinds import IS_FOLDED, IS_IDENTITY, IS_PARENT, IS_RESULT
from d2lrun.errors import Failed, Refused, masked

LARGEST = 1 << 20  # bytes of a config.yaml
DEEPEST = 100  # most levels of a config.yaml; usual are five
LONGEST = 1 << 30  # bytes of a metrics.jsonl
FOLDS = "fold-*"  # the folders in a K-fold run
REFIT = "refit"  # the folder in it of the last run, which trains on all examples
# The first bytes of the files that a run may hold before its first step, complete or not: the files that a start
# writes first, and the files that are always written after config.yaml.
FIRST = {
    ".parent.json": rb'\{\n  "parent": ',
    ".lock": rb"\Z",
    ".lock.holder": rb"process ",
    "config.yaml": rb"seed: ",
}
LATER = {
    ".trial.json": rb"\{",
    ".data.json": rb'\{\n  "content": ',
    "metrics.jsonl": rb"\{",
    "result.json": rb'\{\n  "(status|metrics)": ',
    "run.log": rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ",
    "classes.json": rb'\{\n  "classes": ',
    "vocabulary.json": rb'\{\n  "tokens": ',
    "columns.json": rb'\{\n  "target": ',
}


def parse_yaml(text: str) -> Any:
    """Parse a YAML text; raises YAMLError, also for an alias and for too many levels.

    Ten lines of aliases can expand to more than any memory holds, and the C parser crashes at thousands of levels.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is ten times faster
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            problem = f"nested deeper than {DEEPEST} levels" if depth > DEEPEST else "an alias"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
    return loader(text).get_single_data()


def reason_of(error: Exception) -> str:
    """Return the message of a read error in one line; for YAML, the problem and its line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    return f"{problem} in line {mark.line + 1}" if problem and mark else " ".join(str(error).split())


class RunDirectory:
    """The paths of a run's files, and functions that read them as data, never as code."""

    def __init__(self, path: Path):
        self.path = path
        self.config_file = path / "config.yaml"
        self.metrics_file = path / "metrics.jsonl"
        self.result_file = path / "result.json"
        self.weights_file = path / "model.safetensors"
        self.checkpoints = path / "checkpoints"
        self.curves = path / "curves.png"
        self.predictions = path / "predictions.png"
        self.data_file = path / ".data.json"
        self.parent_file = path / ".parent.json"
        self.vocabulary_file = path / "vocabulary.json"
        self.classes_file = path / "classes.json"
        self.columns_file = path / "columns.json"
        self.samples = path / "samples.txt"
        self.submission = path / "submission.csv"
        self.page = path / "report.html"
        self.log = path / "run.log"
        self.lock_file = path / ".lock"
        self.claimed: os.stat_result | None = None  # of the held lock file: no other file has its inode meanwhile

    def command(self, verb: str) -> str:
        """Return the command ``d2lrun VERB`` for this run, quoted for a shell."""
        return plugins.command(verb, self.path)

    def refuse_deleted(self) -> None:
        """Raise Failed if the directory was deleted or replaced since this process claimed it."""
        with contextlib.suppress(OSError):
            if self.claimed is None or os.path.samestat(self.claimed, self.lock_file.stat()):
                return
        raise Failed(f"the run's directory {self.path} was deleted while it trained", "repeat the command")

    def refuse_unwritable(self) -> None:
        """Raise Refused if no file can be written to the directory, before work whose result is written there."""
        try:
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            hint = "make it writable, or copy the run to another place and ask the copy"
            raise Refused(f"cannot write to {self.path}: {error.strerror or error}", hint) from None

    def result(self) -> dict[str, Any] | None:
        """Return the content of result.json; None if it does not exist or cannot be read."""
        return read_object(self.result_file)

    def known_result(self) -> dict[str, Any]:
        """result.json of a run that has ended; raises Failed if it is not readable."""
        if (result := self.result()) is None:
            raise Failed(f"cannot read {self.result_file}", "give the command again")
        return result

    def has_part(self, *names: str) -> bool:
        """Whether the run's data have one of the parts ``names``, such as "test"; True if no record says so."""
        record = self.data()
        return record is None or any(name in record["parts"] for name in names)

    def data(self) -> dict[str, Any] | None:
        """Return the identity of the data that the run, or its first fold, recorded (identity.py).

        None if there is no record: an earlier version made the run, or the file is damaged.
        """
        folds = sorted(self.path.glob(f"{FOLDS}/{self.data_file.name}"))
        for path in (self.data_file, self.result_file, *folds[:1]):
            try:
                content = files.read_json(path)
                content = content["data"] if path == self.result_file else content
                if IS_IDENTITY(content):
                    return content
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return None

    def parent(self) -> dict[str, Any] | None:
        """Return {"parent": directory, "epochs": its epochs} of a run that continues a finished one; None else."""
        origin = read_object(self.parent_file)
        return origin if IS_PARENT(origin) else None

    def threads(self) -> int | None:
        """Return the number of threads of the run on a CPU; None if it has not begun."""
        for path in (*sorted(self.checkpoints.glob("step-*.json"), reverse=True), self.result_file):
            number = (read_object(path) or {}).get("threads")
            if type(number) is int and number > 0:
                return number
        return None

    def finished(self) -> bool:
        """Whether the run has finished, by a result.json that has all keys that are read."""
        result = self.result() or {}
        return result.get("status") == "finished" and is_sound(result)

    def load_config(self) -> Config:
        """Return the config of the run; raises Refused if there is none or it is not valid."""
        try:
            data = parse_yaml(self.config_text())
        except FileNotFoundError:
            raise Refused(
                f"{self.path} is not a run's directory: it has no config.yaml",
                "give the directory that a run printed, such as outputs/runs/fashion-mnist/mlp/…",
            ) from None
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise Refused(f"cannot read {self.config_file}: {reason_of(error)}", "restore it from a backup") from error
        try:
            return schema.parse(schema.completed(data))
        except Refused as error:
            raise Refused(f"{self.config_file}: {error}", "restore it, or start a new run") from error

    def config_text(self) -> str:
        """Return the content of config.yaml; raises OSError or ValueError."""
        return files.read(self.config_file, LARGEST).decode("utf-8")

    def config_hashes(self) -> set[str]:
        """Return the config hashes that this run's checkpoints may have; raises Refused if config.yaml is not valid."""
        saved = self.load_config()
        return {config_hash(saved), config_hash(saved, schema.EARLIER)}

    def write_config(self, config: Config) -> None:
        """Write config.yaml."""
        files.write_atomic(self.config_file, as_text(config))

    def write_metrics(self, records: list[dict[str, Any]]) -> None:
        """Rewrite metrics.jsonl: before a resume it may hold epochs after the checkpoint."""
        files.write_atomic(self.metrics_file, b"".join(files.to_json(record) + b"\n" for record in records))

    def held(self) -> bool:
        """Whether a process holds the directory, or died while it held it."""
        return files.signature(self.lock_file).exists()

    def records(self) -> list[dict[str, Any]]:
        """Return the epochs of metrics.jsonl: from each complete line, the values that are numbers or null."""
        try:
            lines = files.read(self.metrics_file, LONGEST).splitlines()
        except OSError:
            return []
        values = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                values.append(json.loads(line))
        return [
            {key: value for key, value in record.items() if value is None or is_finite(value)}
            for record in values
            if isinstance(record, dict) and is_finite(record.get("epoch"))
        ]

    def begun(self) -> bool:
        """Whether the run, or one of its folds, has trained a step."""
        return any(
            path.exists()
            for folder in (self.path, *self.path.glob(FOLDS))
            for path in (folder / self.metrics_file.name, folder / self.checkpoints.name)
        )

    def marked(self) -> bool:
        """Whether a file in it was written by d2lrun: a config, or a file that names the hash of one."""
        if any(
            "config_hash" in (read_object(path) or {}) for path in (self.result_file, *self.checkpoints.glob("*.json"))
        ):
            return True
        with contextlib.suppress(Refused):
            self.load_config()
            return True
        return False

    def strangers(self) -> list[str]:
        """Return the files that d2lrun did not write, by their content; none for a run's directory. It only reads.

        Hidden files that no run writes are ignored. Raises OSError if the directory cannot be listed.
        """
        names = names_in(self.path)  # first, since another process may add files meanwhile
        if self.begun() and self.marked():
            return []
        with_config = is_as_written(self.config_file)
        others = []
        for name in names:
            path = self.path / name
            if with_config and path.match(FOLDS) and path.is_dir():
                others += [f"{name}/{inner}" for inner in RunDirectory(path).strangers()]
            elif name == self.config_file.name or original(name) in LATER:
                others += [] if with_config and begins_as_ours(path, FIRST | LATER) else [name]
            elif not begins_as_ours(path, FIRST):
                others.append(name)
        return others

    def refuse_strangers(self) -> None:
        """Raise Refused if the directory holds a file that d2lrun did not write."""
        if found := self.strangers():
            raise Refused(
                f"{self.path} is not empty and not a run's directory: it holds {', '.join(found[:3])}",
                "choose an empty or a new folder, or move these files away",
            )

    def refuse_irregular(self) -> None:
        """Raise Refused if a folder, a pipe or a device has the name of one of the run's files."""
        own = [path for path in vars(self).values() if isinstance(path, Path) and path != self.path]
        for path in own:
            if os.path.lexists(path) and not (path.is_dir() if path == self.checkpoints else path.is_file()):
                raise Refused(f"{path} is not what a run writes there", "move it away, or choose another run.dir")

    def refuse_folds(self) -> None:
        """Raise Refused for a K-fold run, since each fold has its own model."""
        folds = sorted(path.name for path in self.path.glob(FOLDS))
        if folds:
            one = REFIT if RunDirectory(self.path / REFIT).weights_file.exists() else folds[0]
            raise Refused(
                f"{self.path} holds a model for each of {counted(len(folds), 'fold')}, not one",
                f"name one of them: {self.path / one}",
            )

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append an epoch to metrics.jsonl."""
        self.refuse_deleted()
        with open(self.metrics_file, "ab") as file:
            file.write(files.to_json(record) + b"\n")


def as_text(config: Config) -> str:
    """Return the content of config.yaml; a password in ``sweep.storage`` is masked, since no run needs it."""
    data = schema.to_dict(config)
    if data["sweep"].get("storage"):
        data["sweep"]["storage"] = masked(data["sweep"]["storage"])
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def is_as_written(path: Path) -> bool:
    """Whether a config.yaml has exactly the bytes that ``write_config`` writes for its config."""
    try:
        config = RunDirectory(path.parent).load_config()
        return not path.is_symlink() and files.read(path, LARGEST) == as_text(config).encode()
    except (Refused, OSError):
        return False


def names_in(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none if it does not exist. Raises OSError if it is not a folder."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def original(name: str) -> str:
    """Return the final name of a temporary file; any other name unchanged."""
    return re.sub(rf"^{files.TEMPORARY}$", r"\1", name)


def begins_as_ours(path: Path, beginnings: Mapping[str, bytes]) -> bool:
    """Whether a file begins like d2lrun's file of that name, complete or not, or is hidden and not from d2lrun.

    ``beginnings`` has a regular expression for each name. A file that was removed meanwhile counts as d2lrun's.
    """
    name = original(path.name)
    if name not in beginnings:
        return name == path.name and name.startswith(".")
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return False
        if status.st_size == 0:  # the lock is empty, and Windows does not let others read it
            return True
        with open(path, "rb", opener=files.regular) as file:
            return re.match(beginnings[name], file.read(64)) is not None
    except FileNotFoundError:
        return True
    except OSError:
        return False


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if it cannot be read."""
    try:
        content = files.read_json(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_sound(result: dict[str, Any]) -> bool:
    """Whether the result.json of a finished run has all keys that are read, with values of the right kind."""
    floor, metrics = result.get("floor"), result.get("metrics")
    return bool(
        (IS_FOLDED if "folds" in result else IS_RESULT)(result)
        and metrics
        and (not floor or floor["metric"] in metrics)
    )


def is_at_chance(result: dict[str, Any]) -> bool:
    """Whether a result.json says that a run, or a fold of it, is no better than the best constant prediction."""
    floor = result.get("floor")  # runs of earlier versions do not have it
    return bool(result.get("dead") or (isinstance(floor, dict) and floor.get("at_chance")))


def notes_of(result: dict[str, Any]) -> list[str]:
    """Return the remarks of a result.json about its metrics; none if it is damaged."""
    notes = result.get("notes")
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


@contextlib.contextmanager
def claim(config: Config) -> Iterator[RunDirectory]:
    """Lock the directory of this config's run and yield it.

    Without ``run.dir`` a new directory is made. Raises Refused if the directory is in use, cannot be written,
    belongs to another config, or holds other files; it is then unchanged.
    """
    with contextlib.ExitStack() as held:
        directory = None
        try:
            directory = RunDirectory(Path(config.run.dir).expanduser() if config.run.dir else unique(config))
            refuse_unfit(directory, config)  # before the lock is written, and again when the lock is held
            directory.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(files.lock(directory.lock_file))
            enter(directory, config)
            directory.claimed = directory.lock_file.stat()
        except OSError as error:
            raise Refused(
                f"cannot write to {config.run.dir or config.run.root}: {error.strerror or error}",
                "choose another place with run.dir=FOLDER or run.root=FOLDER",
            ) from error
        except KeyboardInterrupt:
            if directory and not config.run.dir and not directory.config_file.exists():  # nothing can be continued
                shutil.rmtree(directory.path, ignore_errors=True)
            raise
        try:
            yield directory
        except Refused:
            if not config.run.dir and not directory.begun():  # nothing began: leave nothing behind
                shutil.rmtree(directory.path, ignore_errors=True)
            raise


def enter(directory: RunDirectory, config: Config) -> None:
    """Write this config to the directory. Until the first step, a run of another config may replace it."""
    refuse_unfit(directory, config)
    for folder in (directory.path, directory.checkpoints):
        files.remove_leftovers(folder)
    if not directory.begun():
        directory.write_config(config)


def refuse_unfit(directory: RunDirectory, config: Config) -> None:
    """Raise Refused if the directory holds another config's run, or a file that d2lrun did not write."""
    directory.refuse_irregular()
    directory.refuse_strangers()
    if directory.begun():
        refuse_other(directory, config)


def refuse_other(directory: RunDirectory, config: Config) -> None:
    """Raise Refused if the run in the directory has another config."""
    saved = directory.load_config()
    theirs, ours = (schema.flatten(schema.to_dict(each)) for each in (saved, config))
    rows = [
        f"\n  {complaints.shown(key, theirs.get(key))} there, {complaints.shown(key, ours.get(key))} now"
        for key in schema.differing(saved, config)
    ]
    if rows:
        raise Refused(
            f"{directory.path} holds a run with another configuration{''.join(rows)}",
            f"continue it with {directory.command('resume')}, or choose another run.dir",
        )


def lift_submission(refit: RunDirectory, whole: RunDirectory) -> None:
    """Copy submission.csv from the refit to the directory of the K-fold run."""
    if refit.submission.exists():
        files.write_atomic(whole.submission, files.read(refit.submission))


def folder_of(config: Config) -> Path:
    """Return the folder of the runs of this network on this dataset that have no ``run.dir``."""
    return Path(config.run.root).expanduser() / "runs" / schema.data_name(config.dataset) / config.model.name


def unique(config: Config) -> Path:
    """Make a new directory outputs/runs/<dataset>/<model>/<date_time>, unique also if ten start in one second."""
    parent = folder_of(config)
    parent.mkdir(parents=True, exist_ok=True)
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + (f"_{config.run.name}" if config.run.name else "")
    for number in itertools.count(1):
        path = parent / (stem if number == 1 else f"{stem}_{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("the numbers do not end")


def config_hash(config: Config, ignored: tuple[str, ...] = schema.CIRCUMSTANCES) -> str:
    """Return a hash that is equal for two configs of the same experiment, independent of where they run."""
    plain = schema.flatten(schema.to_dict(config))
    hashed = {key: value for key, value in plain.items() if not schema.among(key, ignored)}
    hashed = {key: value for key, value in hashed.items() if key not in ADDED or value != ADDED[key]}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:16]
