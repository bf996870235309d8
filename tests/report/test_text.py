from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from d2lrun.report.text import duration, printable, say, size


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0.0 s"),
        (0.34, "0.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "count, words",
    [(999, "999 bytes"), (1000, "1.0 kB (1,000 bytes)"), (54_880_000, "54.9 MB (54,880,000 bytes)")],
)
def test_sizes_are_words(count, words):
    assert size(count) == words


def console_in(encoding):
    return Console(file=TextIOWrapper(BytesIO(), encoding=encoding), width=40)


def test_utf8_is_left_alone():
    assert printable(console_in("utf-8"), "§4.3 1→6 ✓ 汉服") == "§4.3 1→6 ✓ 汉服"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "latin-1"])
def test_every_encoding_can_print_what_it_is_given(encoding):
    text = printable(console_in(encoding), "✓ ✗ × → – ± █ 汉服 é \udcff")
    text.encode(encoding)
    assert "ok" in text and "NO" in text


def test_a_file_name_that_is_no_text_is_escaped():
    assert printable(console_in("utf-8"), "a\udcff.png") == "a\\udcff.png"


def test_what_could_command_a_terminal_is_seen_instead():
    text = "a\tb\nc \x1b]0;title\x07 \x1b[2J \x9b31m \r \x00 \x7f é"
    seen = "a\tb\nc \\x1b]0;title\\x07 \\x1b[2J \\x9b31m \\x0d \\x00 \\x7f é"
    assert printable(console_in("utf-8"), text) == seen


@pytest.mark.parametrize("terminal", [True, False])
def test_a_path_is_never_wrapped_nor_read_as_markup(terminal):
    console = Console(file=StringIO(), width=20, force_terminal=terminal)
    path = "/home/someone/[/red]/[bold]/" + "long" * 20
    say(console, path)
    assert console.file.getvalue() == path + "\n"
