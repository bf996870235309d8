from __future__ import annotations

import gzip
import socket

import pytest

from d2lrun.disk.download import Unavailable, download
from d2lrun.disk.files import sha256

CONTENT = bytes(range(256)) * 500
DIGEST = sha256(CONTENT)
LIMIT = 1 << 20


def fetch(*urls: str, **options):
    return download(urls, DIGEST, LIMIT, **{"timeout": 1800, "pause": 0.01, **options})


def failure(*urls: str, **options) -> list[str]:
    """What is said of each URL after all have failed."""
    with pytest.raises(Unavailable) as caught:
        fetch(*urls, **options)
    return [row.removeprefix(f"{url}: ") for row, url in zip(caught.value.problems, urls, strict=True)]


@pytest.mark.parametrize("body", [CONTENT, gzip.compress(CONTENT)], ids=["plain", "gzip"])
def test_fetches_plain_and_packed_content(mirror, body):
    mirror.pages["/a"] = body
    found = fetch(f"{mirror.url}/a")
    assert found.content == CONTENT
    assert found.origin == f"{mirror.url}/a"
    assert mirror.requests == {"/a": 1}


def test_progress_ends_at_the_whole(mirror):
    mirror.pages["/a"] = body = gzip.compress(CONTENT)
    steps = []
    fetch(f"{mirror.url}/a", progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert steps[-1] == (len(body), len(body))


def test_follows_a_redirect(mirror):
    mirror.pages["/a"] = lambda reply, n: reply.reply(b"", status=302, Location="/b")
    mirror.pages["/b"] = CONTENT
    assert fetch(f"{mirror.url}/a").content == CONTENT


def test_the_next_mirror_is_asked_and_a_final_fault_is_not_tried_again(mirror):
    mirror.pages.update({"/gone": 404, "/page": b"<!DOCTYPE html><p>sign in", "/good": CONTENT})
    urls = [f"{mirror.url}{path}" for path in ("/gone", "/page", "/good")]
    assert fetch(*urls).origin == urls[-1]
    assert mirror.requests == {"/gone": 1, "/page": 1, "/good": 1}


def test_a_passing_fault_is_tried_again(mirror):
    mirror.pages["/a"] = lambda reply, n: reply.reply(CONTENT) if n == 2 else reply.send_error(503)
    assert fetch(f"{mirror.url}/a").content == CONTENT


def test_each_fault_is_named_by_its_url(mirror):
    body = gzip.compress(CONTENT)
    mirror.pages.update(
        {
            "/gone": 404,
            "/busy": 503,
            "/page": b"<!DOCTYPE html><p>sign in",
            "/empty": b"",
            "/other": bytes(7),
            "/short": body[:-20],
            "/cut": lambda reply, n: reply.reply(body[:100], length=len(body)),
            "/flipped": body[:50] + bytes([body[50] ^ 1]) + body[51:],
            "/ring": lambda reply, n: reply.reply(b"", status=302, Location="/ring"),
            "/file": lambda reply, n: reply.reply(b"", status=302, Location="file:///etc/hostname"),
        }
    )
    said = dict(zip(mirror.pages, failure(*(f"{mirror.url}{path}" for path in mirror.pages)), strict=True))
    assert said["/gone"].startswith("404 ")
    assert said["/busy"].startswith("503 ")
    wrong = f"sha256 differs: got {sha256(mirror.pages['/page'])[:16]}…, wanted {DIGEST[:16]}…"
    assert said["/page"] == f"{wrong}; it has 25 bytes, beginning with b'<!DOCTYPE html>'"
    assert said["/empty"].endswith("it has 0 bytes, empty")
    assert "sha256 differs" in said["/other"]
    assert said["/short"] == "the gzip data ends too early"
    assert said["/cut"] == f"ended after 100 of {len(body)} bytes"
    assert "damaged gzip data" in said["/flipped"] or "sha256 differs" in said["/flipped"]
    assert "infinite loop" in said["/ring"]
    assert "file" in said["/file"] and "sha256" not in said["/file"]


def test_a_server_that_does_not_answer_is_given_up(mirror):
    mirror.pages["/slow"] = lambda reply, n: mirror.closing.wait()
    assert failure(f"{mirror.url}/slow", timeout=0.2) == ["timed out"]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "nonsense", "http://", ""])
def test_only_web_addresses_are_opened(url):
    (said,) = failure(url)
    assert "sha256" not in said


def test_a_closed_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        (said,) = failure(f"http://127.0.0.1:{taken.getsockname()[1]}/a")
    assert "refused" in said


def test_no_mirrors_are_a_fault_too():
    assert failure() == []


def endless(reply, n):
    reply.reply(b"", length=-1)
    while True:
        reply.wfile.write(bytes(1 << 16))


def drip(reply, n):
    reply.reply(b"", length=-1)
    while not reply.server.closing.wait(0.05):
        reply.wfile.write(b"x")


def test_an_endless_stream_ends(mirror):
    mirror.pages["/a"] = endless
    assert failure(f"{mirror.url}/a") == [f"more than {LIMIT:,} bytes, which is the limit"]


def test_a_stream_that_only_drips_ends(mirror):
    mirror.pages["/a"] = drip
    (said,) = failure(f"{mirror.url}/a", seconds=0.3)
    assert "when the time was up" in said


def test_a_decompression_bomb_ends(mirror):
    mirror.pages["/a"] = body = gzip.compress(bytes(50 * LIMIT))
    assert len(body) < LIMIT
    assert failure(f"{mirror.url}/a") == [f"more than {LIMIT:,} bytes, which is the limit"]
