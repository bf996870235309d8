"""The line of a download: live on a terminal, silent on a pipe, its messages on both."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from d2lrun.report.transfer import Transfer


def shown(terminal: bool, total: int | None = None) -> str:
    file = StringIO()
    console = Console(file=file, width=80, force_terminal=terminal, force_interactive=terminal)
    with Transfer(console) as transfer:
        transfer.say("fetching [a] file")
        transfer.progress(1_500_000, total)
    return file.getvalue()


def test_a_pipe_gets_only_the_messages():
    assert shown(terminal=False) == "fetching [a] file\n"


@pytest.mark.parametrize(("total", "words"), [(3_000_000, "1.5 of 3.0 MB"), (None, "1.5 MB")])
def test_a_terminal_sees_how_much_has_come(total, words):
    text = shown(terminal=True, total=total)
    assert text.startswith("fetching [a] file\n")
    assert words in text
