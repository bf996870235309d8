"""Whatever becomes of stdin, stdout and stderr, the exit code is right; and no text gives a terminal commands."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from rich.table import Table

from d2lrun import streams
from d2lrun.cli import verbs
from d2lrun.errors import Refused
from d2lrun.report.console import terminal

HOSTILE = "\x1b]0;title\x07 \x1b[2J \x9b31m \r\x08"
SHOWN = "\\x1b]0;title\\x07 \\x1b[2J \\x9b31m \\x0d\\x08"
STREAMS = [(0,), (1,), (2,), (0, 1, 2)]


def d2lrun(*words, **options):
    command = [sys.executable, "-m", "d2lrun", *words]
    return subprocess.run(command, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


@pytest.mark.parametrize("closed", STREAMS, ids=str)
def test_closed_streams_do_not_change_the_exit_code(closed):
    for words, code, number in ((["--version"], 0, 1), (["optimizer.lr=-1"], 2, 2)):
        done = d2lrun(*words, preexec_fn=lambda: [os.close(each) for each in closed])
        assert done.returncode == code
        assert bool((done.stdout, done.stderr)[number - 1]) == (number not in closed)


def test_a_closed_stream_gives_its_number_to_no_file(tmp_path):
    code = "from d2lrun import streams; streams.prepare(); print(open('file', 'w').fileno() > 2)"
    script = f"exec 0<&- 1>&- 2>&-; {sys.executable} -c \"{code}; open('ok', 'w')\""
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "ok"]
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    ("words", "full", "code"),
    [("--version", ["stdout"], 1), ("--version", ["stderr"], 0), ("optimizer.lr=-1", ["stdout", "stderr"], 2)],
)
def test_a_full_stream_ends_without_a_traceback(words, full, code):
    with open("/dev/full", "w") as device:
        done = d2lrun(words, **dict.fromkeys(full, device))
    assert done.returncode == code
    assert "stderr" in full or done.stderr.count("\n") in (0, 2)


def test_an_error_message_gives_no_commands(capsys):
    verbs.print_error(Refused(HOSTILE, HOSTILE))
    assert capsys.readouterr().err == f"error: {SHOWN}\nhint: {SHOWN}\n"


def test_nothing_on_the_terminal_gives_commands(capsys, monkeypatch):
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    for variables in ({}, {"FORCE_COLOR": "1", "TERM": "xterm"}):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        console = terminal()
        console.print(HOSTILE, markup=False)
        console.print(table)
        console.rule(HOSTILE)
        out = capsys.readouterr().out
        assert not set(out) & set("\x07\x08\x9b\r")
        assert "\x1b]" not in out and "\x1b[2J" not in out
        assert "\\x1b]0;title" in out


def test_words_in_any_language_are_left_as_they_are():
    text = "学习率 0.1 → ± \t\n é"
    assert streams.visible(text) == text


def test_a_terminal_that_goes_away_stops_nothing(tmp_path):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        terminal = streams.Terminal(stream)
        terminal.write("before\n")
        assert terminal.isatty()
        os.close(ours)
        for _ in range(2):
            terminal.write("after\n")
            terminal.flush()


def test_a_full_disk_is_told_all_the_same():
    with open("/dev/full", "w") as device:
        terminal = streams.Terminal(device)
        terminal.write("x")
        with pytest.raises(OSError, match="No space"):
            terminal.flush()
        streams.hush(device)
