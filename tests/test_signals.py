"""A signal ends the program wherever it comes, but never inside an import."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from importlib import import_module

import pytest

from d2lrun import signals
from d2lrun.cli import main as cli
from d2lrun.errors import Failed, Stopped

PATIENCE = 1800  # seconds: only a process that hangs for ever takes so long

# Sends itself a signal, and drops whatever is raised in it, as the imports of torch and numpy may.
SLOW = """
import signal
dropped = []
for _ in range({signals}):
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException as error:
        dropped.append(error)
whole = True
"""


class ExitAtOnce(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def heeded(monkeypatch):
    """The handlers of ``main``, without the end of the process; afterwards those of pytest."""
    before = {each: signal.getsignal(each) for each in signals.SIGNALS}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def leave(signum, frame=None):
        raise ExitAtOnce(128 + signum)

    monkeypatch.setattr(signals, "exit_at_once", leave)
    signals.raise_stopped()
    yield
    signals.finish()
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Imports the slow module, with so many signals in it; twice, so that there is an import in an import."""

    def load(count: int):
        (tmp_path / "slow_inner.py").write_text(SLOW.format(signals=count))
        (tmp_path / "slow_outer.py").write_text("import slow_inner\nwhole = True\n")
        monkeypatch.syspath_prepend(tmp_path)
        return import_module("slow_outer")

    yield load
    for name in ("slow_inner", "slow_outer"):
        sys.modules.pop(name, None)


def wait_for_it() -> None:
    threading.Event().wait(PATIENCE)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_raises_stopped_with_its_exit_code(heeded, name):
    with pytest.raises(Stopped) as stopped:
        signal.raise_signal(getattr(signal, name))
    assert stopped.value.code == {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[name]


def test_a_signal_in_an_import_waits_for_its_end(heeded, slow):
    with pytest.raises(Stopped):
        slow(1)
        wait_for_it()
    modules = [sys.modules["slow_inner"], sys.modules["slow_outer"]]
    assert [module.whole for module in modules] == [True, True]
    assert modules[0].dropped == []


def test_a_second_signal_in_an_import_ends_the_process(heeded, slow):
    with pytest.raises(Stopped):
        slow(2)
        wait_for_it()
    assert [error.args for error in sys.modules["slow_inner"].dropped] == [(130,)]


def test_a_stopped_that_is_dropped_comes_again(heeded):
    with pytest.raises(Stopped):
        with contextlib.suppress(Stopped):
            signal.raise_signal(signal.SIGTERM)
        wait_for_it()


def test_a_signal_in_a_destructor_is_not_lost(heeded, capsys):
    class Loud:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        Loud()
        wait_for_it()
    assert capsys.readouterr().err == ""


def test_an_error_in_the_place_of_stopped_is_not_told(heeded, monkeypatch):
    def verb(words):
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            raise AttributeError("in a finally")

    monkeypatch.setattr(cli, "chosen", lambda words: (verb, words))
    with pytest.raises(Stopped):
        cli.attempt([], debug=False)


def test_a_signal_that_still_waits_at_the_end_is_obeyed(heeded, slow, monkeypatch):
    monkeypatch.setattr(signals, "PAUSE", PAUSE_FOR_EVER)
    monkeypatch.setattr(cli, "chosen", lambda words: (lambda words: slow(1) and 0, words))
    with pytest.raises(Stopped):
        cli.attempt([], debug=False)


PAUSE_FOR_EVER = 3600.0  # of a thread that ends with the process


def test_a_signal_before_main_can_catch_it_waits(heeded):
    signals.finish()
    signals.heed()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Stopped):
        signals.raise_stopped()
        wait_for_it()


def test_after_the_end_a_signal_ends_the_process(heeded):
    signals.finish()
    with pytest.raises(ExitAtOnce, match="143"):
        signal.raise_signal(signal.SIGTERM)


def test_a_hangup_that_nohup_ignores_stays_ignored(heeded):
    signals.finish()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.raise_stopped()
    with signals.StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert stop.received is None


def test_training_takes_a_signal_that_waits_as_its_first(heeded, slow, monkeypatch):
    monkeypatch.setattr(signals, "PAUSE", PAUSE_FOR_EVER)
    slow(1)
    with signals.StopRequest() as stop:
        assert stop.received == signal.SIGINT
        signals.handler.resent = True  # it was on its way when training began
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped, match="at once"):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_in_an_import_of_training_only_asks_to_stop(heeded, slow):
    with signals.StopRequest() as stop:
        slow(2)
        assert stop.received == signal.SIGINT
    assert sys.modules["slow_inner"].dropped == []


def test_a_run_that_fails_after_a_signal_tells_its_own_failure(heeded, monkeypatch, capsys):
    def verb(words):
        with signals.StopRequest():
            signal.raise_signal(signal.SIGINT)
            raise Failed("the disk is full")

    monkeypatch.setattr(cli, "chosen", lambda words: (verb, words))
    assert cli.attempt([], debug=False) == 1
    assert capsys.readouterr().err == "error: the disk is full\n"
