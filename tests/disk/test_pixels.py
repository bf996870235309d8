"""Images that are decoded once into a file of the cache."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from d2lrun.disk import pixels

SHAPE = (150, 1, 2, 3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path))
    monkeypatch.setattr(pixels, "BLOCK", 64)
    return tmp_path / "images"


def image(number):
    return np.full(SHAPE[1:], number % 251, np.uint8)


def wanted():
    return np.stack([image(number) for number in range(SHAPE[0])])


class Decoder:
    """Decodes images and remembers which; the number ``fatal`` ends everything, as a kill does."""

    def __init__(self, fatal=None, bad=()):
        self.seen, self.fatal, self.bad = [], fatal, bad

    def __call__(self, number):
        if number == self.fatal:
            raise KeyboardInterrupt
        self.seen.append(number)
        if number in self.bad:
            raise ValueError(f"{number} is no image")
        return image(number)


def test_each_image_is_decoded_once_for_all_later_calls():
    first, again, said = Decoder(), Decoder(), []
    for decode in (first, again):
        found, failed = pixels.decoded("a", SHAPE, decode, said.append)
        assert np.array_equal(found, wanted()) and failed == {}
    assert sorted(first.seen) == list(range(150)) and again.seen == [] and said == []


def test_after_an_interruption_only_the_rest_is_decoded():
    with pytest.raises(KeyboardInterrupt):
        pixels.decoded("a", SHAPE, Decoder(fatal=100), print)
    rest = Decoder()
    found, _ = pixels.decoded("a", SHAPE, rest, print)
    assert np.array_equal(found, wanted())
    assert min(rest.seen) == pixels.BLOCK and len(rest.seen) == 150 - pixels.BLOCK


def test_slow_images_are_marked_one_by_one(monkeypatch):
    monkeypatch.setattr(pixels, "PERIOD", -1.0)
    done = []
    with pytest.raises(KeyboardInterrupt):
        pixels.decoded("a", SHAPE, Decoder(fatal=20), print, lambda so_far, of: done.append(so_far))
    rest = Decoder()
    pixels.decoded("a", SHAPE, rest, print)
    assert min(rest.seen) == 20 and len(rest.seen) == 130
    assert done == [6 * number for number in range(1, 21)]


def test_what_is_no_image_is_named_every_time():
    for _ in range(2):
        found, failed = pixels.decoded("a", SHAPE, Decoder(bad=(3, 149)), print)
        assert failed == {3: "3 is no image", 149: "149 is no image"}
        assert np.array_equal(found[4:149], wanted()[4:149])


def test_a_write_to_the_images_changes_no_file():
    found, _ = pixels.decoded("a", SHAPE, Decoder(), print)
    found[:] = 0
    assert np.array_equal(pixels.decoded("a", SHAPE, Decoder(), print)[0], wanted())


def test_a_cache_that_cannot_be_written_is_said_and_not_needed(cache):
    cache.write_text("a file in the place of the folder")
    said = []
    found, failed = pixels.decoded("a", SHAPE, Decoder(bad=(1,)), said.append)
    assert np.array_equal(found[2:], wanted()[2:]) and failed == {1: "1 is no image"}
    assert len(said) == 1 and "decoded into memory" in said[0]


def test_progress_is_in_bytes():
    seen = []
    pixels.decoded("a", SHAPE, Decoder(), print, lambda done, total: seen.append((done, total)))
    assert seen == [(64 * 6, 900), (128 * 6, 900), (900, 900)]


def test_what_progress_counts_is_on_disk(cache):
    def check(done, total):
        marks = pixels.sound_marks(cache / "a.pixels", cache / "a.marks", SHAPE[0], 6)
        assert np.count_nonzero(marks) * 6 == done

    pixels.decoded("a", SHAPE, Decoder(), print, check)


def test_large_images_are_marked_more_often(monkeypatch):
    monkeypatch.setattr(pixels, "MOST", 6 * 20)
    with pytest.raises(KeyboardInterrupt):
        pixels.decoded("a", SHAPE, Decoder(fatal=100), print)
    rest = Decoder()
    pixels.decoded("a", SHAPE, rest, print)
    assert min(rest.seen) == 100


@pytest.mark.parametrize("name", ["a.marks", "a.pixels"])
def test_a_file_that_is_lost_is_made_again(cache, name):
    pixels.decoded("a", SHAPE, Decoder(), print)
    (cache / name).unlink()
    assert np.array_equal(pixels.decoded("a", SHAPE, Decoder(), print)[0], wanted())


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "no marks", "more marks"])
def test_damaged_pixels_are_decoded_again_once(cache, damage):
    pixels.decoded("a", SHAPE, Decoder(), print)
    file, marks = cache / "a.pixels", cache / "a.marks"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    changed = {
        "flip": (file, content),
        "cut": (file, content[:-1]),
        "grow": (file, content + b"x"),
        "no marks": (marks, b""),
        "more marks": (marks, marks.read_bytes() + b"x"),
    }
    path, data = changed[damage]
    path.write_bytes(data)
    again = Decoder()
    found, failed = pixels.decoded("a", SHAPE, again, print)
    assert np.array_equal(found, wanted()) and failed == {}
    assert len(again.seen) == (1 if damage == "flip" else SHAPE[0])
    third = Decoder()
    pixels.decoded("a", SHAPE, third, print)
    assert third.seen == []


def test_a_full_disk_is_not_kept_full(cache, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    said = []
    found, _ = pixels.decoded("a", SHAPE, Decoder(), said.append)
    assert np.array_equal(found, wanted()) and "No space left" in said[0]
    assert not list(cache.glob("a.pixels")) and not list(cache.glob("a.marks"))
