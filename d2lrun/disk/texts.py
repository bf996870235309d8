"""Read text files of the user, in any encoding. A refusal names the file, and the first byte that is wrong."""

from __future__ import annotations

import codecs
import io
import os
import stat
from collections.abc import Sequence

from d2lrun.counts import counted
from d2lrun.disk.download import Unusable
from d2lrun.disk.download import read as read_stream
from d2lrun.disk.files import sha256
from d2lrun.disk.locate import Found
from d2lrun.errors import Refused
from d2lrun.streams import complain

LIMIT = 1 << 30  # bytes of all files together
SUFFIXES = (".txt", ".tsv", ".csv")  # of a word that is probably meant as the name of a file
WIDE = ("utf-16", "utf-32")  # encodings in which ordinary text has NUL bytes
OTHERS = "such as gb18030 or big5 (Chinese), utf-16 (Windows) or latin-1 (Western Europe)"


def read_files(dataset: str, path: str | Sequence[str] | None, encoding: str) -> list[Found]:
    """Read the bytes of all files of a dataset, at most ``LIMIT`` together; raises Refused."""
    paths = [path] if isinstance(path, str) else list(path or [])
    if not paths:
        raise Refused(f"dataset={dataset} needs dataset.path", "give dataset.path=FILE or 'dataset.path=[FILE,FILE]'")
    known(encoding)
    found, left = [], LIMIT
    for name in paths:
        content = read_file(name, left)
        left -= len(content)
        found.append(Found(content, name, sha256(content)))
    return found


def lines_of(words: Sequence[str], encoding: str = "utf-8", blank: bool = False) -> list[str]:
    """Return the texts of a command: each word, or if it is the name of a file, which is said, each of its lines.

    A word that looks like the name of a file and is none is a text, and this is said, too. A ``blank`` line of a file
    is a text, too, or is left out. Raises Refused for a file that cannot be read as text.
    """
    found: list[str] = []
    for word in words:
        if os.path.exists(os.path.expanduser(word)):
            complain(f"{word} is a file: each of its lines is a text\n")
            lines = io.StringIO(decode(word, read_file(word, LIMIT), encoding), newline=None)
            found += [line.removesuffix("\n") for line in lines if blank or line.strip()]
        else:
            if word.lower().endswith(SUFFIXES):
                complain(f"{word}: no such file, so it is read as a text\n")
            found.append(word)
    return found


def joined(found: Sequence[Found], encoding: str) -> str:
    """Return the concatenated text of the files, with a newline after a file that does not end with one."""
    texts = [decode(file.origin, file.content, encoding) for file in found]
    ended = [text if text.endswith("\n") else f"{text}\n" for text in texts[:-1]]
    return "".join([*ended, texts[-1]])


def names(found: Sequence[Found]) -> str:
    """Return the paths of the files, for messages."""
    return ", ".join(file.origin for file in found)


def known(encoding: str) -> None:
    """Raise Refused if ``encoding`` is not the name of a text encoding."""
    try:
        codecs.lookup(encoding)
        "".encode(encoding)  # a codec that is not for text, such as zip, raises LookupError here
    except (LookupError, ValueError):
        raise Refused(
            f"dataset.encoding={encoding}: Python knows no such encoding of text", f"give one {OTHERS}"
        ) from None


def read_file(path: str, limit: int) -> bytearray:
    """Read the bytes of one regular file, at most ``limit``; raises Refused."""
    place = os.path.expanduser(path)
    try:
        status = os.stat(place)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
            raise Refused(f"{path} is {what}", "name the text file itself")
        if status.st_size > limit:
            raise too_large(path, counted(status.st_size, "byte"))
        with open(place, "rb") as file:
            content = read_stream(file, limit)
    except Unusable:  # the file has grown meanwhile
        raise too_large(path, f"more than {counted(limit, 'byte')}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise Refused(f"{path}: {reason}", "name a file that exists and can be read") from None
    if not content or content.isspace():
        raise Refused(f"{path} is empty", "give a file with text in it")
    return content


def too_large(path: str, found: str) -> Refused:
    """Return the Refused for a file that is too large."""
    return Refused(f"{path}: {found}, wanted at most {LIMIT:,} in all files together", "give a part of it")


def decode(path: str, content: bytearray, encoding: str) -> str:
    """Decode the bytes to text; raises Refused at the first invalid byte."""
    canonical = codecs.lookup(encoding).name
    if not canonical.startswith(WIDE) and (at := content.find(0)) >= 0:
        raise binary(path, at, content)
    try:
        text = content.decode(encoding).removeprefix("\ufeff")  # the byte order mark of Windows
    except UnicodeDecodeError as error:
        byte = content[error.start : error.start + 1].hex()
        what = f"byte {error.start:,} (0x{byte}) is not {canonical.upper()}: {error.reason}"
        raise Refused(f"{path}: {what}", other_encoding(canonical)) from None
    except ValueError as error:  # from codecs with their own rules
        raise Refused(f"{path} is not {canonical}: {error}", other_encoding(canonical)) from None
    if (at := text.find("\0")) >= 0:
        raise Refused(f"{path} is binary: character {at:,} is NUL", "give a plain text file")
    return text


def other_encoding(canonical: str) -> str:
    """Return the hint for a file in another encoding; a finished run reads files in its own encoding only."""
    return f"name the file's encoding for training, dataset.encoding=…, {OTHERS}; or save it as {canonical.upper()}"


def binary(path: str, at: int, content: bytearray) -> Refused:
    """Return the Refused for a file with a NUL byte at ``at``."""
    hint = "give a plain text file: not a PDF, a Word file or an archive"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        hint = "it begins like UTF-16: give dataset.encoding=utf-16"
    return Refused(f"{path} is binary: byte {at:,} is NUL", hint)
