"""A run's directory: its files, who may write it, and what is in it already."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from d2lrun import files, schema
from d2lrun.config import Config
from d2lrun.errors import Refused, masked

FOLDS = "fold-*"  # the folders in a K-fold run
REFIT = "refit"  # the folder in it of the run that trains on everything in the end
COUNTED = ("epochs", "steps", "seconds")  # in the result.json of every run that has finished


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases: ten lines of them unfold to more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)


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
        self.vocabulary_file = path / "vocabulary.json"
        self.samples = path / "samples.txt"
        self.submission = path / "submission.csv"
        self.page = path / "report.html"
        self.log = path / "run.log"
        self.lock_file = path / ".lock"

    def result(self) -> dict[str, Any] | None:
        """result.json, or None if the run has not written a readable one."""
        try:
            result = json.loads(self.result_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return result if isinstance(result, dict) else None

    def finished(self) -> bool:
        """Whether the run has come to its end, and says so in a result.json that has all that is read of it."""
        result = self.result() or {}
        return result.get("status") == "finished" and is_sound(result)

    def load_config(self) -> Config:
        """The config of the run; raises Refused if there is none or it is not sound."""
        try:
            data = PlainLoader(self.config_file.read_text(encoding="utf-8")).get_single_data()
        except FileNotFoundError:
            raise Refused(
                f"{self.path} is not a run's directory: it has no config.yaml",
                "give the directory that a run printed, such as outputs/runs/fashion-mnist/mlp/…",
            ) from None
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise Refused(f"cannot read {self.config_file}: {error}", "restore it from a backup") from error
        try:
            return schema.parse(data)
        except Refused as error:
            raise Refused(f"{self.config_file}: {error}", "restore it, or start a new run") from error

    def write_config(self, config: Config) -> None:
        """Write config.yaml; a password in ``sweep.storage``, which no run needs, is masked."""
        data = schema.to_dict(config)
        if data["sweep"].get("storage"):
            data["sweep"]["storage"] = masked(data["sweep"]["storage"])
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        files.write_atomic(self.config_file, text)

    def write_metrics(self, records: list[dict[str, Any]]) -> None:
        """All of metrics.jsonl anew: on resume it may hold epochs that the checkpoint does not know."""
        files.write_atomic(self.metrics_file, b"".join(files.to_json(record) + b"\n" for record in records))

    def held(self) -> bool:
        """Whether a process holds it, or died while it did."""
        return files.signature(self.lock_file).exists()

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl that are whole."""
        try:
            lines = self.metrics_file.read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                found.append(json.loads(line))
        return [record for record in found if isinstance(record, dict) and "epoch" in record]

    def begun(self) -> bool:
        """Whether a step was taken, of the run or of a fold of it."""
        return any(
            path.exists()
            for folder in (self.path, *self.path.glob(FOLDS))
            for path in (folder / self.metrics_file.name, folder / self.checkpoints.name)
        )

    def refuse_folds(self) -> None:
        """Raise Refused for a K-fold run, where one model is wanted: each fold has its own."""
        folds = sorted(path.name for path in self.path.glob(FOLDS))
        if folds:
            one = REFIT if RunDirectory(self.path / REFIT).weights_file.exists() else folds[0]
            raise Refused(
                f"{self.path} holds a model for each of {len(folds)} folds, not one",
                f"name one of them: {self.path / one}",
            )

    def append_metrics(self, record: dict[str, Any]) -> None:
        with open(self.metrics_file, "ab") as file:
            file.write(files.to_json(record) + b"\n")


def is_sound(result: dict[str, Any]) -> bool:
    """Whether the result.json of a finished run has all that is read of it, each of its kind."""
    if not all(files.is_finite(result.get(key)) for key in COUNTED) or "dead" not in result:
        return False
    metrics, folds = result.get("metrics"), result.get("folds")
    if not isinstance(metrics, dict) or not metrics:
        return False
    numbers = list(metrics.values())
    if "folds" in result:
        if not isinstance(folds, list) or not all(isinstance(each, dict) for each in [*folds, *numbers]):
            return False
        if not all(isinstance(fold.get("metrics"), dict) and files.is_finite(fold.get("epochs")) for fold in folds):
            return False
        numbers = [each.get(key, "") for each in numbers for key in ("mean", "std")]
    return all(number is None or files.is_finite(number) for number in numbers)


@contextlib.contextmanager
def claim(config: Config) -> Iterator[RunDirectory]:
    """The directory of this config's run, held against other processes.

    Without ``run.dir`` a new one is made. Raises Refused if the directory is in use, cannot be written,
    belongs to another config, or holds something else.
    """
    with contextlib.ExitStack() as held:
        try:
            directory = RunDirectory(Path(config.run.dir).expanduser() if config.run.dir else unique(config))
            directory.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(files.lock(directory.lock_file))
            enter(directory, config)
        except OSError as error:
            raise Refused(
                f"cannot write to {config.run.dir or config.run.root}: {error.strerror or error}",
                "choose another place with run.dir=FOLDER or run.root=FOLDER",
            ) from error
        try:
            yield directory
        except Refused:
            if not config.run.dir and not directory.begun():  # nothing began: leave nothing behind
                shutil.rmtree(directory.path, ignore_errors=True)
            raise


def enter(directory: RunDirectory, config: Config) -> None:
    """Make the directory this config's, or find that it is already. Before the first step it is anybody's."""
    for folder in (directory.path, directory.checkpoints):
        files.remove_leftovers(folder)
    if directory.begun():
        refuse_other(directory, config)
    elif strangers := [path.name for path in directory.path.glob("[!.]*") if path not in before_training(directory)]:
        raise Refused(
            f"{directory.path} is not empty and not a run's directory: it holds {', '.join(strangers[:3])}",
            "choose an empty or a new folder for run.dir",
        )
    else:
        directory.write_config(config)


def before_training(directory: RunDirectory) -> list[Path]:
    """What a run may have written that was refused or failed before its first step; without a config it is not ours."""
    ours = [directory.config_file, directory.log, *directory.path.glob(FOLDS)]
    if directory.config_file.exists():
        ours += [directory.result_file, directory.vocabulary_file]
    return ours


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
            f"continue it with d2lrun resume {directory.path}, or choose another run.dir",
        )


def lift_submission(refit: RunDirectory, whole: RunDirectory) -> None:
    """Put what the run on everything predicts, which is what one hands in, into the directory of the whole."""
    if refit.submission.exists():
        files.write_atomic(whole.submission, refit.submission.read_bytes())


def unique(config: Config) -> Path:
    """A new directory outputs/runs/<dataset>/<model>/<date_time>, also when ten start in one second."""
    parent = Path(config.run.root).expanduser() / "runs" / config.dataset.name / config.model.name
    parent.mkdir(parents=True, exist_ok=True)
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + (f"_{config.run.name}" if config.run.name else "")
    for number in itertools.count(1):
        path = parent / (stem if number == 1 else f"{stem}_{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("the numbers do not end")


def config_hash(config: Config) -> str:
    """The same for two configs of the same experiment, wherever they run."""
    plain = schema.flatten(schema.to_dict(config))
    kept = {key: value for key, value in plain.items() if not key.startswith(schema.CIRCUMSTANCES)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
