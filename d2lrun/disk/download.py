"""Verified content from disk or from a mirror: unpacked up to a size limit, and checked against its digest."""

from __future__ import annotations

import gzip
import hashlib
import io
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING
from urllib import request
from urllib.error import HTTPError

from d2lrun import __version__
from d2lrun.counts import counted
from d2lrun.disk.files import CHUNK, sha256

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Progress = Callable[[int, "int | None"], object]  # bytes so far, bytes in all if known
GZIP = b"\x1f\x8b"
KINDS = {32: "md5", 40: "sha1", 64: "sha256"}  # the kind of a published digest, by the number of its hexadecimal digits


@dataclass(frozen=True)
class Found:
    """Unpacked content and the path or URL it came from."""

    content: bytearray
    origin: str
    sha256: str  # of the content


class Unusable(Exception):
    """Content that does not match the request; the message says what came instead."""

    def __init__(self, message: str, passing: bool = False):
        super().__init__(" ".join(message.split()))
        self.passing = passing  # another attempt may help


class Unavailable(Unusable):
    """No URL returned the content; ``problems`` has a line for each URL and its error."""

    def __init__(self, problems: list[str]):
        super().__init__("; ".join(problems) or "there is no URL to try")
        self.problems = problems


def unpack(raw: io.RawIOBase, limit: int, archive: bool = False) -> bytearray:
    """Read all of ``raw``, decompress it if it is gzip data and no ``archive``, and close it.

    Raises Unusable if the result has more than ``limit`` bytes or the gzip data is damaged.
    """
    with io.BufferedReader(raw, 1 << 16) as buffered:
        packed = not archive and buffered.peek(2)[:2] == GZIP
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=buffered) if packed else buffered
        try:
            return read(stream, limit)
        except EOFError:
            raise Unusable("the gzip data ends too early", passing=True) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Unusable(f"damaged gzip data: {error}") from None


def read(stream: io.BufferedIOBase, limit: int) -> bytearray:
    """Read a stream; raises Unusable if it has more than ``limit`` bytes."""
    # A bytearray, because a tensor that shares its memory is writable.
    content = bytearray()
    while chunk := stream.read(CHUNK):
        content += chunk
        if len(content) > limit:
            raise Unusable(f"more than {counted(limit, 'byte')}, which is the limit")
    return content


def verify(content: bytearray, wanted: str) -> str:
    """Return the sha256 of ``content``; raises Unusable if its digest does not begin with ``wanted`` (KINDS).

    The length of ``wanted`` tells the kind; any other length is the beginning of a sha256.
    """
    kind = KINDS.get(len(wanted), "sha256")
    got = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if got.startswith(wanted):
        return got if kind == "sha256" else sha256(content)
    begins = f"beginning with {bytes(content[:15])!r}" if content else "empty"
    raise Unusable(
        f"{kind} differs: got {got[:16]}…, wanted {wanted[:16]}…; it has {counted(len(content), 'byte')}, {begins}"
    )


def download(
    urls: Sequence[str],
    digest: str,
    limit: int,
    progress: Progress | None = None,
    timeout: float = 15,
    seconds: float = 1800,
    attempts: int = 2,
    pause: float = 1,
    archive: bool = False,
) -> Found:
    """Return the content from the first of ``urls`` that serves it (http or https, plain or gzip).

    ``limit`` is the largest size in bytes. ``digest`` is that of the unpacked content, or of an ``archive`` as it is
    served, or the first digits of a sha256. ``timeout`` limits one wait for the network and ``seconds`` all transfers
    together. A temporary error is tried again after the other URLs. Raises Unavailable.
    """
    deadline = time.monotonic() + seconds
    problems: dict[str, Unusable] = {}
    for attempt in range(attempts):
        left = [url for url in urls if url not in problems or problems[url].passing]
        if attempt and left:
            time.sleep(pause * 2 ** (attempt - 1))
        for url in left:
            try:
                return fetch(url, digest, limit, progress, timeout, deadline, archive)
            except Unusable as problem:
                problems[url] = problem
    raise Unavailable([f"{url}: {problem}" for url, problem in problems.items()])


def fetch(
    url: str, digest: str, limit: int, progress: Progress | None, timeout: float, deadline: float, archive: bool
) -> Found:
    """Return the verified content of one URL; raises Unusable."""
    try:
        wanted = request.Request(url, headers={"User-Agent": f"d2lrun/{__version__}"})
        with opener().open(wanted, timeout=timeout) as response:
            content = unpack(Transfer(response, limit, deadline, progress), limit, archive)
    except HTTPError as error:
        with error:
            passing = error.code in (408, 429) or error.code >= 500
            raise Unusable(f"{error.code} {error.reason}", passing) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)  # urllib wraps the first error
        passing = isinstance(reason, (TimeoutError, ConnectionError, IncompleteRead))
        what = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise Unusable(what, passing) from None
    return Found(content, url, verify(content, digest))


def opener() -> request.OpenerDirector:
    """Return urllib's opener for http and https only: a redirect to file: or ftp: fails."""
    director = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
    ):
        director.add_handler(handler())
    return director


class Transfer(io.RawIOBase):
    """A response's body as a stream that reports progress and has a limit in time and in bytes."""

    def __init__(self, response: HTTPResponse, limit: int, deadline: float, progress: Progress | None):
        self.response, self.limit, self.deadline = response, limit, deadline
        self.progress = progress or (lambda done, total: None)
        self.done = 0
        length = response.headers.get("Content-Length", "")
        self.total = int(length) if length.isdecimal() else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if time.monotonic() > self.deadline:
            raise Unusable(f"too slow: {counted(self.done, 'byte')} when the time was up")
        chunk = self.response.read1(len(memoryview(buffer)))  # at most one wait, so that the deadline is checked
        self.done += len(chunk)
        if self.done > self.limit:
            raise Unusable(f"more than {counted(self.limit, 'byte')}, which is the limit")
        if not chunk and self.total is not None and self.done < self.total:
            raise Unusable(f"ended after {self.done:,} of {counted(self.total, 'byte')}", passing=True)
        self.progress(self.done, self.total)
        memoryview(buffer)[: len(chunk)] = chunk
        return len(chunk)
