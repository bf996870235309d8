"""State <-> disk: two checkpoints, each committed by the small JSON that is written after it.

``step-00000470.pt`` holds tensors and plain data (read back with weights_only: nothing in it is ever
imported or called); ``step-00000470.json`` names its size and sha256. Bytes without their JSON do not count;
bytes that do not match it are damaged. Either way the older checkpoint is still there.
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
    """A checkpoint that cannot be believed; the message says why."""


def save(directory: Path, state: dict[str, Any], step: int, facts: dict[str, Any]) -> None:
    """Write the checkpoint of ``step``, unless there is one, and remove all but the newest two.

    ``facts`` go into its JSON: config_hash, epoch, versions. Raises Failed when the disk is full or gone.
    """
    target = directory / f"step-{step:08d}.pt"
    if target.with_suffix(".json").exists():  # a kill between new bytes and their JSON would cost both
        return
    data = io.BytesIO()
    torch.save(state, data)
    content = data.getvalue()
    facts = {"step": step, "size": len(content), "sha256": files.sha256(content), **facts}
    try:
        directory.mkdir(exist_ok=True)  # of a run's directory that is gone nothing is made anew
        files.write_atomic(target, content)
        files.write_json(target.with_suffix(".json"), facts)
        prune(directory)
    except OSError as error:
        what = "disk full while saving" if error.errno in FULL else "cannot save"
        again = RunDirectory(directory.parent).command("resume")
        raise Failed(
            f"{what} step {step} to {directory}: {error.strerror or error}",
            f"the checkpoint before it is untouched: make room, then {again}",
        ) from error


def load_newest(
    directory: Path, origins: Container[str], accept: Callable[[dict[str, Any]], None], say: Callable[[str], None]
) -> int | None:
    """Hand the newest believable state to ``accept`` and return its step; None if nothing was ever saved.

    It must have been saved under one of the config hashes ``origins``; ``accept`` may raise too (wrong names or
    shapes). What is not believed is said and kept aside as ``.bad``. Raises Refused when there are checkpoints and
    none is sound: a run never starts over unasked.
    """
    found, loose = commits(directory), [path for path in directory.glob("step-*.pt") if not committed(path)]
    for path in loose:
        say(f"checkpoint {path.stem} has no JSON: passed over")
    for commit in found:
        try:
            state = read(commit, origins)
            accept(state)
            return int(commit.stem.removeprefix("step-"))
        except (Damaged, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            say(f"checkpoint {commit.stem} is damaged: {first_line(error)}; looking for an older one")
            set_aside(commit)
    if found or len(loose) > 1 or any(directory.glob("step-*.bad")):  # a killed first save leaves only one loose
        raise Refused(
            f"no sound checkpoint is left in {directory}",
            "restore one from a backup, or start anew in another directory",
        )
    return None


def read(commit: Path, origins: Container[str]) -> dict[str, Any]:
    """The state behind a checkpoint's JSON; raises Damaged."""
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
    """The JSON files, newest first."""
    return sorted(directory.glob("step-*.json"), reverse=True)


def committed(path: Path) -> bool:
    return path.with_suffix(".json").exists()


def set_aside(commit: Path) -> None:
    for path in (commit, commit.with_suffix(".pt")):
        if path.exists():
            path.replace(path.with_name(path.name + ".bad"))


def prune(directory: Path) -> None:
    """Remove all but the newest two, each JSON before its bytes, and bytes without a JSON."""
    for old in commits(directory)[KEEP:]:
        old.unlink()
    for path in directory.glob("step-*.pt"):
        if not committed(path):
            path.unlink()


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
