"""Decoded images in a file of the cache: decoded once, by several threads, and continued after a kill.

N images, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from d2lrun.disk.files import lock
from d2lrun.disk.locate import Progress, Say, cache_of

BLOCK, MOST = 512, 32 << 20  # images, or bytes of pixels, between two marks: at most so many are decoded again
PERIOD = 1.0  # seconds between two marks: large photos take long
FAILED = 1  # the mark of a file that is no image; 0: not decoded yet; others: the CRC-32 of the pixels, at least 2
Decode = Callable[[int], np.ndarray]  # returns image number i, uint8 [C, H, W]; raises ValueError if it is none


def decoded(
    key: str, shape: tuple[int, int, int, int], decode: Decode, say: Say, progress: Progress | None = None
) -> tuple[np.ndarray, dict[int, str]]:
    """Return all images as uint8 [N, C, H, W], mapped into memory, and {number: reason} of those that are none.

    ``key`` names the content of all images, and how they are decoded. The file is for all processes: one of them
    decodes, others wait. If the cache cannot be written, the images are decoded into memory. ``progress`` takes the
    bytes of decoded pixels so far, and in all.
    """
    folder = cache_of("images")
    try:
        with lock(folder / f"{key}.lock", lambda holder: say(f"waiting for {folder}: {holder} decodes the images")):
            failed = filled(folder / key, shape, decode, progress)
            return np.memmap(folder / f"{key}.pixels", np.uint8, "c", shape=shape), failed  # c: writes stay in memory
    except OSError as error:
        say(f"{folder} cannot be written, so the images are decoded into memory: {error.strerror or error}")
        pixels = np.zeros(shape, np.uint8)
        return pixels, in_parallel(range(len(pixels)), decode, lambda number, image: put(pixels, number, image))


def put(pixels: np.ndarray, number: int, image: np.ndarray) -> None:
    """Store an image."""
    pixels[number] = image


def filled(stem: Path, shape: tuple[int, int, int, int], decode: Decode, progress: Progress | None) -> dict[int, str]:
    """Return what ``fill`` does; if the disk is full, its files are removed before the error is raised."""
    try:
        return fill(stem, shape, decode, progress)
    except OSError:
        with contextlib.suppress(OSError):
            for kind in ("marks", "pixels"):
                Path(f"{stem}.{kind}").unlink(missing_ok=True)
        raise


def fill(stem: Path, shape: tuple[int, int, int, int], decode: Decode, progress: Progress | None) -> dict[int, str]:
    """Decode into ``stem``.pixels all images without a mark in ``stem``.marks; raises OSError if the disk is full.

    An image whose pixels have another CRC-32 than its mark, in a file that was damaged, is decoded again.
    """
    count, size = shape[0], int(np.prod(shape[1:]))
    pixels, marked = Path(f"{stem}.pixels"), Path(f"{stem}.marks")
    marks = sound_marks(pixels, marked, count, size)
    failed: dict[int, str] = {}
    left = np.flatnonzero(marks <= FAILED)  # what failed before is tried again, for its reason
    if not len(left):
        return failed
    with (
        open(pixels, "r+b" if pixels.exists() else "w+b") as file,
        open(marked, "r+b" if marked.exists() else "w+b") as flags,
    ):
        file.truncate(count * size)  # reserves nothing: a full disk is an error of a later write
        flags.truncate(marks.nbytes)

        saved = time.monotonic()

        def save() -> None:
            """Write the marks, after the pixels that they stand for."""
            nonlocal saved
            file.flush()
            os.fsync(file.fileno())
            flags.seek(0)
            flags.write(marks.tobytes())
            flags.flush()
            saved = time.monotonic()
            if progress is not None:
                progress(int(np.count_nonzero(marks)) * size, count * size)

        def write(number: int, image: np.ndarray) -> None:
            """Write one image; a write to the file, and not to mapped memory, reports a full disk."""
            file.seek(number * size)
            file.write(image.tobytes())
            marks[number] = mark_of(image)
            if time.monotonic() - saved > PERIOD:
                save()

        step = max(1, min(BLOCK, MOST // size))
        for start in range(0, len(left), step):
            faults = in_parallel(left[start : start + step].tolist(), decode, write)
            failed |= faults
            marks[list(faults)] = FAILED
            save()
    return failed


def mark_of(image: np.ndarray) -> int:
    """Return the mark of a decoded image: the CRC-32 of its pixels, but at least 2."""
    return max(zlib.crc32(np.ascontiguousarray(image).data), FAILED + 1)


def sound_marks(pixels: Path, marked: Path, count: int, size: int) -> np.ndarray:
    """Return the marks uint32 [count]: 0 for each image that is not in the file ``pixels`` as it was written."""
    none = np.zeros(count, np.uint32)
    try:
        if marked.stat().st_size != none.nbytes or pixels.stat().st_size != count * size:
            return none
    except FileNotFoundError:
        return none
    marks = np.fromfile(marked, np.uint32)
    rows = np.memmap(pixels, np.uint8, "r", shape=(count, size))
    wrong = [number for number in np.flatnonzero(marks > FAILED).tolist() if mark_of(rows[number]) != marks[number]]
    marks[wrong] = 0
    return marks


def in_parallel(numbers: range | list[int], decode: Decode, store: Callable[[int, np.ndarray], None]) -> dict[int, str]:
    """Decode the images ``numbers`` in threads and store them in turn; return the reason of each that is no image."""
    failed: dict[int, str] = {}

    def attempt(number: int) -> np.ndarray | ValueError:
        """Return the image, or the error."""
        try:
            return decode(number)
        except ValueError as error:
            return error

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for number, image in zip(numbers, pool.map(attempt, numbers), strict=True):
            if isinstance(image, ValueError):
                failed[number] = str(image)
            else:
                store(number, image)
    return failed
