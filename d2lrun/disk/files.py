"""Atomic files, checksums, and locks between processes.

A file under its final name is always complete, even if the process that writes it is killed.
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
from d2lrun.errors import InUse, Refused

CHUNK = 1 << 20  # bytes read at a time
MOST = 64 << 20  # most bytes of a JSON or text file that d2lrun wrote
TEMPORARY = r"\.(.+)\.[0-9a-f]{8}\.tmp"  # the name of a file before it is complete


def write_atomic(path: str | Path, data: bytes | bytearray | str | Callable[[BinaryIO], object]) -> None:
    """Write ``data`` (text as UTF-8, or a function that writes it) to ``path``: completely, or not at all.

    After any error the temporary file is removed, the old content stays, and the error is raised.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # same folder: a rename stays on one disk
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
            error.filename = str(path)  # the error of a full disk has no path
        raise
    sync_directory(path.parent)


def write_named(path: Path, content: bytes) -> Path:
    """Write a file that is named by its content, and its folder, unless it is there and whole; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:  # else it was damaged since
        write_atomic(path, content)
    return path


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` survive a power failure, if the system supports it."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # the file itself is complete; some network disks do not support this
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(directory: Path, age: float = 0.0) -> None:
    """Delete temporary files of a killed ``write_atomic`` that are older than ``age`` seconds.

    If ``age`` is less than hours, the caller must hold the directory's lock.
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
    """Return ``value`` as strict JSON in UTF-8; NaN and infinities become null."""
    text = json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes its own JSON escape


def read(path: str | Path, most: int = MOST) -> bytes:
    """Read a regular file; raises OSError if it is not one, or if it has more than ``most`` bytes."""
    with open(path, "rb", opener=regular) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has {counted(size, 'byte')}, wanted at most {most:,}", str(path))
        return file.read()


def regular(path: str, flags: int) -> int:
    """Open a regular file; raises OSError for others: a pipe may block, and a device may have no end."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "it is a folder" if stat.S_ISDIR(mode) else "it is a pipe or a device, wanted a file"
        raise OSError(errno.EINVAL, what, str(path))
    return descriptor


def read_json(path: str | Path, most: int = MOST) -> Any:
    """Read a JSON file; raises OSError if it cannot be read, ValueError if it is not JSON in UTF-8."""
    try:
        return json.loads(read(path, most).decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_record(path: Path, is_record: Callable[[Any], bool]) -> Any:
    """Return the content of a JSON file that a run wrote about itself; None if there is no file.

    Raises Refused if it is damaged, or if ``is_record`` does not hold for its content.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Refused(f"{path} is damaged: {error}", "train the run again") from error
    if not is_record(content):
        raise Refused(f"{path} is damaged: it is not what a run writes", "train the run again")
    return content


def finite(value: Any) -> Any:
    """Return ``value`` with None for every float that is NaN or infinite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256(source: bytes | bytearray | Path) -> str:
    """Return the sha256 of bytes or of a file's content, in hexadecimal."""
    if not isinstance(source, Path):
        return hashlib.sha256(source).hexdigest()
    digest = hashlib.sha256()
    with open(source, "rb", opener=regular) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def lock(path: Path, waiting: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold the lock ``path``; the kernel releases it if this process dies.

    If another process holds it, call ``waiting(holder)`` once and wait without a time limit; without ``waiting``,
    raise InUse at once. Raises OSError if the lock file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # fails at once if the folder cannot be written; filelock would try forever
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
    """Raise OSError if the disk has no file locks: filelock would use another kind, or report the file as in use."""
    try:
        from fcntl import LOCK_UN, flock
    except ImportError:  # Windows has another kind of lock on every disk
        return
    with open(path, "rb", opener=regular) as file:
        try:
            flock(file, LOCK_UN)  # the lock is not held, so this changes nothing
        except OSError as error:
            raise OSError(error.errno, f"the disk has no file locks ({error.strerror})", str(path)) from error


def signature(path: Path) -> Path:
    """Return the file with the holder's name, beside the lock, since Windows does not let others read a locked file."""
    return path.with_name(f"{path.name}.holder")


def holder(path: Path) -> str:
    """Return the holder of the lock ``path``, for messages."""
    try:
        return read(signature(path)).decode("utf-8")
    except (OSError, ValueError):  # the holder has not written its name yet
        return "another process"
