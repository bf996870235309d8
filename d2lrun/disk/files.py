"""Bytes that survive: files that are whole or not there, checksums, locks between processes.

Nothing here ever shows a half-written file under its final name, whatever kills the writer.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from d2lrun.counts import counted
from d2lrun.errors import InUse

CHUNK = 1 << 20  # bytes read at a time
MOST = 64 << 20  # bytes of a file of JSON or text that d2lrun wrote
TEMPORARY = r"\.(.+)\.[0-9a-f]{8}\.tmp"  # what the name of a file is before it is whole


def write_atomic(path: str | Path, data: bytes | bytearray | str | Callable[[BinaryIO], object]) -> None:
    """Put ``data`` (text as UTF-8, or a function that writes it) at ``path``: whole, or not at all.

    On any error the temporary file goes, the old content stays, and the error is raised.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # here: a rename crosses no disk
    try:
        with open(temporary, "xb") as file:
            if callable(data):
                data(file)
            else:
                file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a disk that is full does not say where
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` survive a power cut, where the system can."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # the file itself is whole by now; some network disks cannot do this
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(directory: Path, age: float = 0.0) -> None:
    """Delete what a killed ``write_atomic`` left, of an age in seconds.

    Below hours only for the one who holds the directory's lock.
    """
    for temporary in directory.glob(".*.tmp"):
        if not re.fullmatch(TEMPORARY, temporary.name):
            continue
        with contextlib.suppress(OSError):
            if age == 0 or time.time() - temporary.stat().st_mtime > age:
                temporary.unlink()


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON that every parser reads; NaN and infinities become null."""
    write_atomic(path, to_json(value, indent=2) + b"\n")


def to_json(value: Any, indent: int | None = None) -> bytes:
    """``value`` as strict JSON in UTF-8; NaN and infinities become null."""
    text = json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes its own JSON escape


def read(path: str | Path, most: int = MOST) -> bytes:
    """The content of a regular file; raises OSError for anything else, and if it has more than ``most`` bytes."""
    with open(path, "rb", opener=regular) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has {counted(size, 'byte')}, wanted at most {most:,}", str(path))
        return file.read()


def regular(path: str, flags: int) -> int:
    """An opener that raises OSError for what is no regular file: a pipe would be waited for, a device never ends."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "it is a folder" if stat.S_ISDIR(mode) else "it is a pipe or a device, wanted a file"
        raise OSError(errno.EINVAL, what, str(path))
    return descriptor


def read_json(path: str | Path, most: int = MOST) -> Any:
    """The value in a file of JSON; raises OSError if it cannot be read, ValueError if it is no JSON in UTF-8."""
    try:
        return json.loads(read(path, most).decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None


def finite(value: Any) -> Any:
    """``value`` with None for every float that JSON has no number for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256(source: bytes | bytearray | Path) -> str:
    """The sha256 of bytes or of a file's content, in hexadecimal."""
    if not isinstance(source, Path):
        return hashlib.sha256(source).hexdigest()
    digest = hashlib.sha256()
    with open(source, "rb", opener=regular) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def lock(path: Path, waiting: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold ``path`` against all other processes; the kernel frees it when the holder dies.

    If another process holds it: ``waiting(holder)`` is called once and then waited, however long it takes;
    without ``waiting``, InUse at once. Raises OSError where nothing can be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # fails at once where filelock would try for ever
    refuse_lockless(path)
    guard = FileLock(path)
    try:
        guard.acquire(timeout=0)
    except Timeout:
        if waiting is None:
            hint = "wait until it has finished, or choose another directory"
            raise InUse(f"{path.parent} is in use by {holder(path)}", hint) from None
        waiting(holder(path))
        guard.acquire()
    try:
        with contextlib.suppress(OSError):
            write_atomic(signature(path), f"process {os.getpid()} on {platform.node() or 'this computer'}")
        yield
    finally:
        with contextlib.suppress(OSError):
            signature(path).unlink()
        guard.release()


def refuse_lockless(path: Path) -> None:
    """Raise OSError if the disk has no locks: filelock would take another kind, or say that the file is in use."""
    try:
        from fcntl import LOCK_UN, flock
    except ImportError:  # Windows has locks of another kind, everywhere
        return
    with open(path, "rb", opener=regular) as file:
        try:
            flock(file, LOCK_UN)  # of a lock that is not held: nobody notices
        except OSError as error:
            raise OSError(error.errno, f"the disk has no file locks ({error.strerror})", str(path)) from error


def signature(path: Path) -> Path:
    """Where the holder signs: beside the lock, for Windows lets nobody read a locked file."""
    return path.with_name(f"{path.name}.holder")


def holder(path: Path) -> str:
    """Who holds the lock at ``path``, for people."""
    try:
        return read(signature(path)).decode("utf-8")
    except (OSError, ValueError):  # it has the lock, but has not signed yet
        return "another process"
