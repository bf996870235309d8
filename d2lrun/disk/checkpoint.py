"""Checkpoints: the newest two are kept. A small JSON file, written last, makes a checkpoint valid.

``step-00000470.pt`` holds tensors and plain data (it is read with weights_only: nothing in it is ever
imported or called); ``step-00000470.json`` holds its size and sha256. A .pt file without its JSON is ignored;
a .pt file that does not match its JSON is damaged. In both cases the older checkpoint still exists.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import torch

from d2lrun.counts import counted
from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Failed, Refused

KEEP = 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Damaged(Exception):
    """A checkpoint that is not valid; the message says why."""


def save(directory: Path, state: dict[str, Any], step: int, facts: dict[str, Any]) -> None:
    """Write the checkpoint of ``step`` if it does not exist, and remove all but the newest two.

    ``facts`` go into its JSON: config_hash, epoch, versions. Raises Failed if the disk is full or cannot be written.
    """
    target = directory / f"step-{step:08d}.pt"
    if target.with_suffix(".json").exists():  # do not overwrite: a kill between the two files would lose it
        return
    data = io.BytesIO()
    torch.save(state, data)
    content = data.getvalue()
    facts = {"step": step, "size": len(content), "sha256": files.sha256(content), **facts}
    try:
        directory.mkdir(exist_ok=True)  # without parents: a deleted run directory is not made again
        files.write_atomic(target, content)
        files.write_json(target.with_suffix(".json"), facts)
        prune(directory)
    except OSError as error:
        what = "disk full while saving" if error.errno in FULL else "cannot save"
        again = RunDirectory(directory.parent).command("resume")
        raise Failed(
            f"{what} step {step} to {directory}: {error.strerror or error}",
            f"the checkpoint before it is untouched: free disk space, then {again}",
        ) from error


def load_newest(
    directory: Path, origins: Container[str], accept: Callable[[dict[str, Any]], None], say: Callable[[str], None]
) -> int | None:
    """Pass the newest valid state to ``accept`` and return its step; None if no checkpoint was ever saved.

    A valid state has one of the config hashes ``origins``, and ``accept`` does not raise (wrong names or shapes). An
    invalid one is reported and renamed to ``.bad``. Raises Refused if there are checkpoints but none is valid: a run
    never starts again from zero by itself.
    """
    found, loose = commits(directory), [path for path in directory.glob("step-*.pt") if not committed(path)]
    for path in loose:
        say(f"checkpoint {path.stem} has no JSON: ignored")
    for commit in found:
        try:
            state = read(commit, origins)
            accept(state)
            return int(commit.stem.removeprefix("step-"))
        except (Damaged, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            say(f"checkpoint {commit.stem} is damaged: {first_line(error)}; trying an older one")
            set_aside(commit)
    if found or len(loose) > 1 or any(directory.glob("step-*.bad")):  # one .pt alone: the first save was killed
        raise Refused(
            f"no sound checkpoint is left in {directory}",
            "restore one from a backup, or start again in another directory",
        )
    return None


def copy(source: Path, target: Path, origins: Container[str], config_hash: str) -> bool:
    """Copy the newest valid checkpoint to another run, whose config hash it gets; return whether there is one.

    ``source`` is not changed, unlike by ``load_newest``.
    """
    for commit in commits(source):
        try:
            read(commit, origins)
            facts, content = files.read_json(commit), files.read(commit.with_suffix(".pt"))
        except (Damaged, OSError):
            continue
        target.mkdir(exist_ok=True)
        files.write_atomic(target / commit.with_suffix(".pt").name, content)
        files.write_json(target / commit.name, facts | {"config_hash": config_hash})
        return True
    return False


def read(commit: Path, origins: Container[str]) -> dict[str, Any]:
    """Return the state of the checkpoint with this JSON file; raises Damaged."""
    try:
        facts = files.read_json(commit)
        size, digest, origin = facts["size"], facts["sha256"], facts["config_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{commit.name} cannot be read ({first_line(error)})") from error
    if origin not in origins:
        raise Damaged("it was saved by a run of another configuration")
    path = commit.with_suffix(".pt")
    try:
        found = path.stat().st_size
        if found != size:
            raise Damaged(f"{path.name} has {counted(found, 'byte')}, wanted {size}")
        content = files.read(path, most=found)
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read ({first_line(error)})") from error
    if files.sha256(content) != digest:
        raise Damaged(f"the sha256 of {path.name} differs")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling foreign bytes can raise anything
        raise Damaged(f"{path.name} is not a checkpoint of tensors and plain data") from error
    if not isinstance(state, dict):
        raise Damaged(f"{path.name} does not hold a state")
    return state


def commits(directory: Path) -> list[Path]:
    """Return the JSON files, newest first."""
    return sorted(directory.glob("step-*.json"), reverse=True)


def committed(path: Path) -> bool:
    """Whether a .pt file has its JSON."""
    return path.with_suffix(".json").exists()


def set_aside(commit: Path) -> None:
    """Rename the two files of an invalid checkpoint to ``.bad``."""
    for path in (commit, commit.with_suffix(".pt")):
        if path.exists():
            path.replace(path.with_name(path.name + ".bad"))


def prune(directory: Path) -> None:
    """Remove all but the newest two checkpoints, each JSON before its .pt file, and .pt files without a JSON."""
    for old in commits(directory)[KEEP:]:
        old.unlink()
    for path in directory.glob("step-*.pt"):
        if not committed(path):
            path.unlink()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
