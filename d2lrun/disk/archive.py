"""Unpack an archive of files into the cache: only members with the names that are wanted, once, or not at all."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
import zlib
from pathlib import Path

from d2lrun.counts import counted
from d2lrun.disk.download import Found
from d2lrun.disk.locate import Say, cache_of, writable_cache
from d2lrun.errors import Refused

LARGEST = 64 << 20  # most bytes of a member
MOST = 4 << 30  # most bytes of all members


def unpacked(found: Found, dataset: str, wanted: re.Pattern[str], say: Say) -> Path:
    """Return the folder in the cache with the members of a zip archive whose names match ``wanted``; raises Refused.

    ``wanted`` allows names of files below the folder only: no ``..``, and no ``/`` at the beginning.
    """
    place = cache_of(dataset)
    folder, growing = place / found.sha256[:16], place / ".unpacking"
    with writable_cache(place, say) as cache:
        if folder.is_dir():
            return folder
        if cache is None:
            raise Refused(f"{found.origin} cannot be unpacked into {place}", "set D2LRUN_CACHE to another folder")
        say(f"unpacking {found.origin} into {folder}")
        try:
            shutil.rmtree(growing, ignore_errors=True)  # of a start that was killed
            extract(found, growing, wanted)
            growing.rename(folder)
        except OSError as error:
            raise Refused(f"{folder} cannot be written: {error.strerror or error}", "make room there") from None
    return folder


def extract(found: Found, folder: Path, wanted: re.Pattern[str]) -> None:
    """Write the wanted members of a zip archive below ``folder``; raises Refused for an archive that is no good."""
    try:
        with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
            members = [member for member in archive.infolist() if wanted.fullmatch(member.filename)]
            size = sum(member.file_size for member in members)
            largest = max((member.file_size for member in members), default=0)
            if not members or largest > LARGEST or size > MOST:
                what = f"{counted(len(members), 'file')} of the names that are wanted, {counted(size, 'byte')}"
                raise zipfile.BadZipFile(what)
            for member in members:
                path = folder / member.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))  # never more than file_size
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise Refused(f"{found.origin}: {error}", "fetch the archive again") from error
