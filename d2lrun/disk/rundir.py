"""A run's directory: its files, who may write it, and what is in it already."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from d2lrun.config import schema
from d2lrun.config.keys import Config
from d2lrun.config.metrics import is_finite
from d2lrun.counts import counted
from d2lrun.disk import files
from d2lrun.disk.kinds import IS_FOLDED, IS_IDENTITY, IS_RESULT
from d2lrun.errors import Failed, Refused, masked

LARGEST = 1 << 20  # bytes of a config.yaml
DEEPEST = 100  # levels of it; it has about five
LONGEST = 1 << 30  # bytes of a metrics.jsonl
FOLDS = "fold-*"  # the folders in a K-fold run
REFIT = "refit"  # the folder in it of the run that trains on everything in the end
# How the files begin that a run may hold before its first step, whole or half written: those that a start writes
# first, and those that never come before config.yaml.
FIRST = {".lock": rb"\Z", ".lock.holder": rb"process ", "config.yaml": rb"seed: "}
LATER = {
    ".trial.json": rb"\{",
    ".data.json": rb'\{\n  "content": ',
    "metrics.jsonl": rb"\{",
    "result.json": rb'\{\n  "(status|metrics)": ',
    "run.log": rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ",
    "vocabulary.json": rb'\{\n  "tokens": ',
}


def parse_yaml(text: str) -> Any:
    """The value in a text of YAML; raises YAMLError, also for an alias and for what is nested too deep.

    Ten lines of aliases unfold to more than any memory holds, and the parser in C crashes at a depth of thousands.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C it takes a tenth of the time
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            problem = f"nested deeper than {DEEPEST} levels" if depth > DEEPEST else "an alias"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
    return loader(text).get_single_data()


def reason_of(error: Exception) -> str:
    """What an error of reading says, in one line; of YAML what is wrong and in which line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    return f"{problem} in line {mark.line + 1}" if problem and mark else " ".join(str(error).split())


class RunDirectory:
    """The paths of a run's files; reading them treats them as data, never as code."""

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
        self.vocabulary_file = path / "vocabulary.json"
        self.samples = path / "samples.txt"
        self.submission = path / "submission.csv"
        self.page = path / "report.html"
        self.log = path / "run.log"
        self.lock_file = path / ".lock"
        self.claimed: os.stat_result | None = None  # the lock file of the claim, whose inode nothing else has meanwhile

    def command(self, verb: str) -> str:
        """``d2lrun VERB`` on this run, as one can paste it into a shell."""
        return shlex.join(["d2lrun", verb, str(self.path)])

    def refuse_deleted(self) -> None:
        """Raise Failed if the directory was deleted, or made anew, since this process claimed it."""
        with contextlib.suppress(OSError):
            if self.claimed is None or os.path.samestat(self.claimed, self.lock_file.stat()):
                return
        raise Failed(f"the run's directory {self.path} was deleted while it trained", "give the command again")

    def result(self) -> dict[str, Any] | None:
        """result.json, or None if the run has not written a readable one."""
        return read_object(self.result_file)

    def known_result(self) -> dict[str, Any]:
        """result.json of a run that has ended; raises Failed if it is not readable."""
        if (result := self.result()) is None:
            raise Failed(f"cannot read {self.result_file}", "give the command again")
        return result

    def data(self) -> dict[str, Any] | None:
        """What the run recorded of its data (identity.py), or its first fold.

        None if nothing was: an earlier version made it, or the file is damaged.
        """
        folds = sorted(self.path.glob(f"{FOLDS}/{self.data_file.name}"))
        for path in (self.data_file, self.result_file, *folds[:1]):
            try:
                found = files.read_json(path)
                found = found["data"] if path == self.result_file else found
                if IS_IDENTITY(found):
                    return found
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return None

    def threads(self) -> int | None:
        """The number of threads that it computes with on a CPU; None if it has not begun."""
        for path in (*sorted(self.checkpoints.glob("step-*.json"), reverse=True), self.result_file):
            found = (read_object(path) or {}).get("threads")
            if type(found) is int and found > 0:
                return found
        return None

    def finished(self) -> bool:
        """Whether the run has come to its end, and says so in a result.json that has all that is read of it."""
        result = self.result() or {}
        return result.get("status") == "finished" and is_sound(result)

    def load_config(self) -> Config:
        """The config of the run; raises Refused if there is none or it is not sound."""
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
            return schema.parse(data)
        except Refused as error:
            raise Refused(f"{self.config_file}: {error}", "restore it, or start a new run") from error

    def config_text(self) -> str:
        """The content of config.yaml; raises OSError or ValueError."""
        return files.read(self.config_file, LARGEST).decode("utf-8")

    def config_hashes(self) -> set[str]:
        """Those under which this run's checkpoints may have been saved; raises Refused if config.yaml is not sound."""
        saved = self.load_config()
        return {config_hash(saved), config_hash(saved, schema.EARLIER)}

    def write_config(self, config: Config) -> None:
        files.write_atomic(self.config_file, as_text(config))

    def write_metrics(self, records: list[dict[str, Any]]) -> None:
        """All of metrics.jsonl anew: on resume it may hold epochs that the checkpoint does not know."""
        files.write_atomic(self.metrics_file, b"".join(files.to_json(record) + b"\n" for record in records))

    def held(self) -> bool:
        """Whether a process holds it, or died while it did."""
        return files.signature(self.lock_file).exists()

    def records(self) -> list[dict[str, Any]]:
        """The epochs of metrics.jsonl: of the lines that are whole the values that are numbers or null."""
        try:
            lines = files.read(self.metrics_file, LONGEST).splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                found.append(json.loads(line))
        return [
            {key: value for key, value in record.items() if value is None or is_finite(value)}
            for record in found
            if isinstance(record, dict) and is_finite(record.get("epoch"))
        ]

    def begun(self) -> bool:
        """Whether a step was taken, of the run or of a fold of it."""
        return any(
            path.exists()
            for folder in (self.path, *self.path.glob(FOLDS))
            for path in (folder / self.metrics_file.name, folder / self.checkpoints.name)
        )

    def marked(self) -> bool:
        """Whether the content of a file in it is d2lrun's: a config, or what names the hash of one."""
        if any(
            "config_hash" in (read_object(path) or {}) for path in (self.result_file, *self.checkpoints.glob("*.json"))
        ):
            return True
        with contextlib.suppress(Refused):
            self.load_config()
            return True
        return False

    def strangers(self) -> list[str]:
        """What in it d2lrun did not write, as the content shows; nothing in a run's directory. It only reads.

        Hidden files that no run writes are passed over. Raises OSError if it cannot be listed.
        """
        names = names_in(self.path)  # before all other looks: a process that is at work here adds to them
        if self.begun() and self.marked():
            return []
        with_config = is_as_written(self.config_file)
        found = []
        for name in names:
            path = self.path / name
            if with_config and path.match(FOLDS) and path.is_dir():
                found += [f"{name}/{inner}" for inner in RunDirectory(path).strangers()]
            elif name == self.config_file.name or original(name) in LATER:
                found += [] if with_config and begins_as_ours(path, FIRST | LATER) else [name]
            elif not begins_as_ours(path, FIRST):
                found.append(name)
        return found

    def refuse_strangers(self) -> None:
        """Raise Refused if it holds anything that d2lrun did not write."""
        if found := self.strangers():
            raise Refused(
                f"{self.path} is not empty and not a run's directory: it holds {', '.join(found[:3])}",
                "choose an empty or a new folder, or move what lies there",
            )

    def refuse_irregular(self) -> None:
        """Raise Refused if anything else than a file has the name of one of its files: a folder, a pipe, a device."""
        own = [path for path in vars(self).values() if isinstance(path, Path) and path != self.path]
        for path in own:
            if os.path.lexists(path) and not (path.is_dir() if path == self.checkpoints else path.is_file()):
                raise Refused(f"{path} is not what a run writes there", "move it away, or choose another run.dir")

    def refuse_folds(self) -> None:
        """Raise Refused for a K-fold run, where one model is wanted: each fold has its own."""
        folds = sorted(path.name for path in self.path.glob(FOLDS))
        if folds:
            one = REFIT if RunDirectory(self.path / REFIT).weights_file.exists() else folds[0]
            raise Refused(
                f"{self.path} holds a model for each of {counted(len(folds), 'fold')}, not one",
                f"name one of them: {self.path / one}",
            )

    def append_metrics(self, record: dict[str, Any]) -> None:
        self.refuse_deleted()
        with open(self.metrics_file, "ab") as file:
            file.write(files.to_json(record) + b"\n")


def as_text(config: Config) -> str:
    """The content of config.yaml; a password in ``sweep.storage``, which no run needs, is masked."""
    data = schema.to_dict(config)
    if data["sweep"].get("storage"):
        data["sweep"]["storage"] = masked(data["sweep"]["storage"])
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def is_as_written(path: Path) -> bool:
    """Whether a config.yaml is, byte for byte, what ``write_config`` makes of the config that it holds."""
    try:
        config = RunDirectory(path.parent).load_config()
        return not path.is_symlink() and files.read(path, LARGEST) == as_text(config).encode()
    except (Refused, OSError):
        return False


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none if it is not there. Raises OSError if it is no folder."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def original(name: str) -> str:
    """The name of the file that a temporary one was to become; any other name is its own."""
    return re.sub(rf"^{files.TEMPORARY}$", r"\1", name)


def begins_as_ours(path: Path, beginnings: Mapping[str, bytes]) -> bool:
    """Whether a file begins as d2lrun's own of that name, whole or half written; or is hidden and none of d2lrun's.

    ``beginnings`` has a regular expression for each name. A file that is gone by now was another process's.
    """
    name = original(path.name)
    if name not in beginnings:
        return name == path.name and name.startswith(".")
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return False
        if found.st_size == 0:  # as the lock is, which Windows lets nobody read
            return True
        with open(path, "rb", opener=files.regular) as file:
            return re.match(beginnings[name], file.read(64)) is not None
    except FileNotFoundError:
        return True
    except OSError:
        return False


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None if there is no readable one."""
    try:
        found = files.read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_sound(result: dict[str, Any]) -> bool:
    """Whether the result.json of a finished run has all that is read of it, each of its kind."""
    floor, metrics = result.get("floor"), result.get("metrics")
    return bool(
        (IS_FOLDED if "folds" in result else IS_RESULT)(result)
        and metrics
        and (not floor or floor["metric"] in metrics)
    )


def is_at_chance(result: dict[str, Any]) -> bool:
    """Whether a result.json says that a run, or a fold of it, is no better than the best constant prediction."""
    floor = result.get("floor")  # which runs of earlier versions have not
    return bool(result.get("dead") or (isinstance(floor, dict) and floor.get("at_chance")))


def notes_of(result: dict[str, Any]) -> list[str]:
    """What a result.json says that has to be known of its metrics; nothing if it is damaged."""
    found = result.get("notes")
    return [note for note in found if isinstance(note, str)] if isinstance(found, list) else []


@contextlib.contextmanager
def claim(config: Config) -> Iterator[RunDirectory]:
    """The directory of this config's run, held against other processes.

    Without ``run.dir`` a new one is made. Raises Refused if the directory is in use, cannot be written,
    belongs to another config, or holds something else; it is then as it was.
    """
    with contextlib.ExitStack() as held:
        directory = None
        try:
            directory = RunDirectory(Path(config.run.dir).expanduser() if config.run.dir else unique(config))
            refuse_unfit(directory, config)  # before the lock is written, and once more when nobody else writes
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
    """Make the directory this config's. Until its first step a run of another config may take it."""
    refuse_unfit(directory, config)
    for folder in (directory.path, directory.checkpoints):
        files.remove_leftovers(folder)
    if not directory.begun():
        directory.write_config(config)


def refuse_unfit(directory: RunDirectory, config: Config) -> None:
    """Raise Refused if the directory holds another config's run, or anything that d2lrun did not write."""
    directory.refuse_irregular()
    directory.refuse_strangers()
    if directory.begun():
        refuse_other(directory, config)


def refuse_other(directory: RunDirectory, config: Config) -> None:
    """Raise Refused if the run that is in the directory has another config."""
    saved = directory.load_config()
    theirs, ours = (schema.flatten(schema.to_dict(each)) for each in (saved, config))
    rows = [
        f"\n  {schema.shown(key, theirs.get(key))} there, {schema.shown(key, ours.get(key))} now"
        for key in schema.differing(saved, config)
    ]
    if rows:
        raise Refused(
            f"{directory.path} holds a run with another configuration{''.join(rows)}",
            f"continue it with {directory.command('resume')}, or choose another run.dir",
        )


def lift_submission(refit: RunDirectory, whole: RunDirectory) -> None:
    """Put what the run on everything predicts, which is what one hands in, into the directory of the whole."""
    if refit.submission.exists():
        files.write_atomic(whole.submission, files.read(refit.submission))


def unique(config: Config) -> Path:
    """A new directory outputs/runs/<dataset>/<model>/<date_time>, also when ten start in one second."""
    parent = Path(config.run.root).expanduser() / "runs" / schema.data_name(config.dataset) / config.model.name
    parent.mkdir(parents=True, exist_ok=True)
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + (f"_{config.run.name}" if config.run.name else "")
    for number in itertools.count(1):
        path = parent / (stem if number == 1 else f"{stem}_{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("the numbers do not end")


def config_hash(config: Config, ignored: tuple[str, ...] = schema.CIRCUMSTANCES) -> str:
    """The same for two configs of the same experiment, wherever they run."""
    plain = schema.flatten(schema.to_dict(config))
    kept = {key: value for key, value in plain.items() if not key.startswith(ignored)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
