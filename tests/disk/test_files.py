from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import stat
import subprocess
import sys

import pytest

from d2lrun.disk import files
from d2lrun.errors import Refused


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("data", ["später 文", "später 文".encode(), bytearray("später 文".encode())])
def test_writes_text_and_bytes(tmp_path, data):
    files.write_atomic(tmp_path / "a", data)
    assert (tmp_path / "a").read_text("utf-8") == "später 文"
    assert names(tmp_path) == ["a"]


def test_replaces_what_was_there(tmp_path):
    files.write_atomic(tmp_path / "a", b"a long old content")
    files.write_atomic(tmp_path / "a", lambda file: file.write(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_the_old_content_alone(tmp_path, error):
    def torn(file):
        file.write(b"half")
        raise error

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error):
        files.write_atomic(tmp_path / "a", torn)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_old_content_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    code = """if True:
        import resource, sys
        from d2lrun.disk.files import write_atomic
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomic(sys.argv[1], bytes(5000))
        except OSError as error:
            print(error.errno, error)
    """
    with python(code, tmp_path / "a") as process:
        assert process.communicate() == (f"27 [Errno 27] File too large: '{tmp_path / 'a'}'\n", "")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def lowest_free_descriptor() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


@pytest.mark.parametrize("fails", [None, "the writer", "the directory"])
def test_a_write_leaves_no_descriptor_open(tmp_path, monkeypatch, fails):
    def torn(file):
        raise ValueError("torn")

    def sync(descriptor, fsync=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError("not on this disk")
        fsync(descriptor)

    if fails == "the directory":
        monkeypatch.setattr(os, "fsync", sync)
    before = lowest_free_descriptor()
    with pytest.raises(ValueError, match="torn") if fails == "the writer" else contextlib.nullcontext():
        files.write_atomic(tmp_path / "a", torn if fails == "the writer" else b"new")
    assert lowest_free_descriptor() == before


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    code = """if True:
        import os, sys
        from d2lrun.disk.files import write_atomic
        write_atomic(sys.argv[1], lambda file: os.kill(os.getpid(), 9))
    """
    with python(code, tmp_path / "a") as process:
        process.communicate()
    assert process.returncode == -9
    assert len(names(tmp_path)) == 2
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_json_has_no_number_that_is_none(tmp_path):
    value = {"loss": math.nan, "rows": [1.5, math.inf, (-math.inf, 2)], "name": "文", "on": True}
    files.write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text("utf-8")
    back = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert back == {"loss": None, "rows": [1.5, None, [None, 2]], "name": "文", "on": True}
    assert "文" in text


def test_json_takes_an_argument_that_is_not_utf8(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    files.write_json(tmp_path / "a.json", [name])
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [name]


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * (files.CHUNK // 100)
    (tmp_path / "a").write_bytes(content)
    assert files.sha256(tmp_path / "a") == files.sha256(content) == hashlib.sha256(content).hexdigest()


HOLD = """if True:
    import sys
    from pathlib import Path
    from d2lrun.disk.files import lock
    with lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def held(tmp_path):
    """A lock, and the process that holds it."""
    with python(HOLD, tmp_path / "run" / ".lock", stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "held\n"
        yield tmp_path / "run" / ".lock", process
        process.kill()


def test_a_held_lock_is_refused_and_its_holder_named(held):
    path, process = held
    with pytest.raises(Refused, match=f"run is in use by process {process.pid} on "), files.lock(path):
        pass


@pytest.mark.parametrize("end", ["kill", "leave"])
def test_a_waiter_gets_the_lock_when_its_holder_ends(held, end):
    path, process = held
    heard = []

    def waiting(holder):
        heard.append(holder)
        process.kill() if end == "kill" else process.stdin.close()

    with files.lock(path, waiting):
        assert files.holder(path) != heard[0]
    assert len(heard) == 1
    assert str(process.pid) in heard[0]


def test_a_lock_can_be_taken_again(tmp_path):
    for _ in range(2):
        with files.lock(tmp_path / ".lock"):
            pass
    assert ".lock.holder" not in names(tmp_path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\0"])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path, content):
    if content is not None:
        files.signature(tmp_path / ".lock").write_bytes(content)
    assert files.holder(tmp_path / ".lock") == "another process"


def test_a_lock_where_nothing_can_be_written_fails_at_once(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(OSError), files.lock(tmp_path / "file" / ".lock", waiting=pytest.fail):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_disk_without_locks_is_not_in_use(tmp_path, monkeypatch, code):
    def flock(file, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="no file locks") as raised, files.lock(tmp_path / ".lock"):
        pass
    assert raised.value.errno == code
    assert not files.signature(tmp_path / ".lock").exists()


def test_only_a_regular_file_is_read_and_none_that_is_too_large(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert files.read(path, most=4) == b"1234"
    (tmp_path / "link").symlink_to(path)
    assert files.read(tmp_path / "link") == b"1234"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for other in (tmp_path, tmp_path / "pipe", tmp_path / "endless", tmp_path / "none"):
        with pytest.raises(OSError):
            files.read(other)
    with pytest.raises(OSError, match="4 bytes, wanted at most 3"):
        files.read(path, most=3)
