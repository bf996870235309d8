from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from d2lrun.disk.files import sha256
from d2lrun.disk.locate import Files, locate
from d2lrun.errors import Refused

CONTENT = {"one": bytes(range(256)) * 400, "two": b"the second file"}
SUMS = {name: sha256(content) for name, content in CONTENT.items()}


@pytest.fixture
def files(tmp_path, monkeypatch) -> Files:
    """A dataset that is nowhere yet; its cache is tmp_path/cache/toy."""
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    return Files("toy", SUMS, 1 << 20, ("Toy/raw",), str(tmp_path / "system"), "dataset-toy")


@pytest.fixture
def cache(files, tmp_path):
    return tmp_path / "cache" / "toy"


def put(folder, packed: bool = False, **contents: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (contents or CONTENT).items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


def serve(mirror) -> list[str]:
    mirror.pages.update({f"/{name}.gz": gzip.compress(content) for name, content in CONTENT.items()})
    return [mirror.url]


def contents(found) -> dict[str, bytes]:
    return {name: file.content for name, file in found.items()}


def origins(found) -> set[str]:
    return {os.path.dirname(file.origin) for file in found.values()}


def assert_cached(cache) -> None:
    """The cache has the files, whole, and nothing else."""
    held = {path.name: path.read_bytes() for path in cache.iterdir() if path.name != ".lock"}
    assert held == CONTENT


PLACES = ["given", "given/toy", "given/Toy/raw", "data", "data/toy", "data/Toy/raw", "cache/toy", "system"]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("place", PLACES)
def test_files_are_found_in_every_place(files, tmp_path, monkeypatch, place, packed):
    monkeypatch.setenv("D2LRUN_DATA", os.pathsep.join(["", str(tmp_path / "nowhere"), str(tmp_path / "data")]))
    put(tmp_path / place, packed)
    found = locate(files, str(tmp_path / "given") if place.startswith("given") else None, [])
    assert contents(found) == CONTENT
    assert origins(found) == {str(tmp_path / place)}


def test_the_first_place_wins(files, tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_DATA", str(tmp_path / "data"))
    for place in ("system", "cache/toy", "data"):
        put(tmp_path / place)
        assert origins(locate(files, None, [])) == {str(tmp_path / place)}


def test_files_may_lie_apart(files, tmp_path, cache, monkeypatch):
    monkeypatch.setenv("D2LRUN_DATA", str(tmp_path / "data"))
    put(tmp_path / "data", one=CONTENT["one"])
    put(cache, packed=True, two=CONTENT["two"])
    assert contents(locate(files, None, [])) == CONTENT


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.dictionaries(
        st.tuples(st.sampled_from(PLACES), st.sampled_from([*CONTENT])), st.sampled_from(["plain", "gz", "bad"])
    )
)
def test_a_folder_that_is_named_is_used_or_refused(files, tmp_path_factory, states):
    root = tmp_path_factory.mktemp("places")
    files = replace(files, system=str(root / "system"))
    for (place, name), state in states.items():
        content = b"bad" if state == "bad" else CONTENT[name]
        put(root / place, state == "gz", **{name: content})
    environment = {"D2LRUN_CACHE": str(root / "cache"), "D2LRUN_DATA": str(root / "data")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr("d2lrun.disk.locate.download", lambda *arguments: pytest.fail("a mirror was asked"))
        try:
            found = locate(files, str(root / "given"), ["http://127.0.0.1:9"])
        except Refused as refusal:
            assert str(refusal).startswith(f"dataset.dir={root / 'given'}: no good ")
        else:
            assert contents(found) == CONTENT
            assert all(origin.startswith(str(root / "given")) for origin in origins(found))
    good = {name for (place, name), state in states.items() if place.startswith("given") and state != "bad"}
    assert (good == set(CONTENT)) == ("found" in locals())


def test_a_named_folder_that_is_not_there_is_refused(files, tmp_path):
    put(tmp_path / "system")
    with pytest.raises(Refused) as caught:
        locate(files, str(tmp_path / "nowhere"), [])
    told = f"dataset.dir={tmp_path}/nowhere: no good one, two of toy there\n  {tmp_path}/nowhere: no such folder"
    assert str(caught.value) == told
    assert caught.value.hint.startswith("name the folder that holds the files; or leave dataset.dir out")
    assert contents(locate(files, None, [])) == CONTENT  # the hint works


def test_a_named_folder_is_refused_with_what_is_wrong_in_it(files, tmp_path):
    put(tmp_path / "given", one=b"<!DOCTYPE html>")
    put(tmp_path / "system")
    with pytest.raises(Refused) as caught:
        locate(files, str(tmp_path / "given"), [])
    head, bad, absent = str(caught.value).splitlines()
    assert head == f"dataset.dir={tmp_path}/given: no good one, two of toy there"
    assert bad.startswith(f"  {tmp_path}/given/one: sha256 differs")
    assert absent == f"  {tmp_path}/given: no two"


def test_a_folder_of_the_search_path_that_is_not_there_is_told(files, tmp_path, monkeypatch):
    (tmp_path / "others").mkdir()
    monkeypatch.setenv("D2LRUN_DATA", os.pathsep.join([str(tmp_path / "gone"), str(tmp_path / "others")]))
    put(tmp_path / "system")
    said = []
    locate(files, None, [], said.append)
    assert said == [f"D2LRUN_DATA: {tmp_path}/gone: no such folder"]


def test_what_was_unpacked_is_kept_unpacked(files, tmp_path, cache):
    put(tmp_path / "system", packed=True)
    locate(files, None, [])
    assert_cached(cache)
    assert origins(locate(files, None, [])) == {str(cache)}


def test_what_was_fetched_is_kept(files, mirror, cache):
    found = locate(files, None, serve(mirror))
    assert contents(found) == CONTENT
    assert origins(found) == {mirror.url}
    assert_cached(cache)
    assert origins(locate(files, None, [])) == {str(cache)}


def test_a_download_is_announced_and_its_progress_told(files, mirror):
    said, steps = [], []
    locate(files, None, serve(mirror), said.append, lambda done, total: steps.append(done))
    assert said == ["fetching one.gz", "fetching two.gz"]
    assert steps


BAD = {
    "empty": b"",
    "truncated": CONTENT["one"][:-1],
    "flipped": b"\x01" + CONTENT["one"][1:],
    "truncated gzip": gzip.compress(CONTENT["one"])[:-9],
    "not even data": b"<!DOCTYPE html>",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_in_the_cache_is_replaced(files, mirror, cache, bad):
    put(cache, one=bad, two=CONTENT["two"])
    said = []
    assert contents(locate(files, None, serve(mirror), said.append)) == CONTENT
    assert said[0].startswith(f"{cache / 'one'}: ")
    assert mirror.requests == {"/one.gz": 1}
    assert_cached(cache)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_of_the_user_is_passed_over_and_left_alone(files, tmp_path, monkeypatch, bad):
    monkeypatch.setenv("D2LRUN_DATA", str(tmp_path / "data"))
    put(tmp_path / "data", one=bad)
    (tmp_path / "data" / "one.gz").write_bytes(b"not gzip")
    put(tmp_path / "system")
    said = []
    assert contents(locate(files, None, [], said.append)) == CONTENT
    assert [line.split(": ")[0] for line in said] == [str(tmp_path / "data" / "one")]
    assert (tmp_path / "data" / "one").read_bytes() == bad


def test_the_refusal_names_every_place_and_the_ways_out(files, tmp_path, monkeypatch, mirror, cache):
    monkeypatch.setenv("D2LRUN_DATA", str(tmp_path / "data"))
    put(tmp_path / "data", one=b"<!DOCTYPE html>")
    (tmp_path / "system").mkdir()
    with pytest.raises(Refused) as caught:
        locate(files, None, [mirror.url, f"{mirror.url}/b/"])
    head, *rows = str(caught.value).splitlines()
    assert head == "toy: no good one, two; tried"
    assert rows.pop(0).startswith(f"  {tmp_path / 'data' / 'one'}: sha256 differs")
    assert rows == [
        f"  {tmp_path / 'data'}: no two",
        f"  {cache}: none of them",
        f"  {tmp_path / 'system'}: none of them",
        f"  {mirror.url}/one.gz: 404 Not Found",
        f"  {mirror.url}/b/one.gz: 404 Not Found",
    ]
    for way in (
        "connect to the network and repeat the command",
        "dataset-toy",
        "dataset.dir=FOLDER",
        "D2LRUN_DATA=FOLDER",
    ):
        assert way in caught.value.hint


def test_a_cache_that_cannot_be_written_is_done_without(files, tmp_path, mirror):
    (tmp_path / "cache").write_text("a file where a folder should be")
    said = []
    assert contents(locate(files, None, serve(mirror), said.append)) == CONTENT
    assert "cannot be written" in said[0]


FIRST_RUN = """if True:
    import json, sys
    from d2lrun.disk.locate import Files, locate
    sums, mirror = json.loads(sys.argv[1])
    found = locate(Files("toy", sums, 1 << 20), None, [mirror], lambda line: print(line, flush=True))
    print("found", *(len(file.content) for file in found.values()))
"""


def first_run(mirror) -> subprocess.Popen:
    command = [sys.executable, "-c", FIRST_RUN, json.dumps([SUMS, mirror.url])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


FOUND = "found " + " ".join(str(len(content)) for content in CONTENT.values())


def test_four_first_runs_at_once_fetch_each_file_once(files, mirror, cache):
    serve(mirror)
    runs = [first_run(mirror) for _ in range(4)]
    for run in runs:
        out, err = run.communicate(timeout=1800)
        assert (out.splitlines()[-1], err, run.returncode) == (FOUND, "", 0)
    assert mirror.requests == {"/one.gz": 1, "/two.gz": 1}
    assert_cached(cache)


def test_a_waiter_takes_over_when_the_fetching_process_is_killed(files, mirror, cache):
    serve(mirror)
    body, half_sent = mirror.pages["/one.gz"], threading.Event()

    def stuck_at_first(reply, n):
        if n > 1:
            return reply.reply(body)
        reply.reply(body[:50], length=len(body))
        half_sent.set()
        return mirror.closing.wait(1800)

    mirror.pages["/one.gz"] = stuck_at_first
    cache.mkdir(parents=True)
    (cache / ".one.0123abcd.tmp").write_bytes(b"left by a process killed while it wrote")
    with first_run(mirror) as holder:
        assert half_sent.wait(1800)
        with first_run(mirror) as waiter:
            assert waiter.stdout.readline() == f"waiting for {cache}: {holder_of(holder)} has it\n"
            holder.kill()
            out, err = waiter.communicate(timeout=1800)
    assert (out.splitlines()[-1], err, waiter.returncode) == (FOUND, "", 0)
    assert mirror.requests == {"/one.gz": 2, "/two.gz": 1}
    assert_cached(cache)


def holder_of(process) -> str:
    return f"process {process.pid} on {platform.node()}"
