"""SIGINT, SIGTERM and SIGHUP: raised as Stopped, or, while a run trains, stored until the run has saved itself.

Nothing is raised inside an import: C code and ``except`` clauses there may drop the exception or leave a module
incomplete. The signal waits until the outermost import ends.

The handlers are set before any other import. So this file imports only modules that the interpreter has loaded:
``_signal`` is ``signal`` without its enumerations, which are slow to import.
"""

import _signal as signal
import _thread
import os
import sys
import time
from types import FrameType

HANGUP = getattr(signal, "SIGHUP", None)  # Windows does not have it
SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, HANGUP)))
AT_ONCE = "stopped at once; what was saved before is untouched"
PAUSE = 0.01  # seconds between two checks of a waiting signal


class Handler:
    """Raises Stopped for the first signal, after any import has ended and if main catches it; a second signal exits."""

    def __init__(self) -> None:
        self.received: int | None = None  # the signal, until main has caught its Stopped
        self.resent = False  # whether ``insist`` sends the next signal, and not the user
        self.raised = nothing  # a weak reference to the Stopped that was raised
        self.is_caught = False  # whether main catches Stopped
        self.main = _thread.get_ident()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        resent, self.resent = self.resent, False
        if self.received is None:
            self.received = signum
            _thread.start_new_thread(self.insist, ())
        elif not resent:
            exit_at_once(signum)
        if self.is_due(frame):
            raise self.stopped(self.received)

    def is_due(self, frame: FrameType | None) -> bool:
        """Whether to raise Stopped in ``frame``: main catches it, it is not raised yet, and no import is active."""
        return self.is_caught and self.raised() is None and not is_importing(frame)

    def stopped(self, received: int) -> BaseException:
        """Return a new Stopped; only a weak reference to it is kept."""
        from weakref import ref

        from d2lrun.errors import Stopped

        error = Stopped(received, "stopped")
        self.raised = ref(error)
        return error

    def insist(self) -> None:
        """Send the signal again after an import ends, or if the Stopped was lost before main caught it."""
        while self.received is not None:
            time.sleep(PAUSE)
            if self.received is not None and self.is_due(sys._current_frames().get(self.main)):
                self.resent = True
                send(self.received, self.main)

    def take(self) -> int | None:
        """Remove and return the signal that waits for the end of an import; None if there is none."""
        received, self.received = self.received, None
        return received if self.raised() is None else None


def nothing() -> BaseException | None:
    """Return None, as a weak reference to a deleted object does."""
    return None


handler = Handler()
owned = True  # whether the process is d2lrun's own; in another, a handler of the user's stays


def heed() -> None:
    """Set the handlers: from now on a signal waits for ``raise_stopped``."""
    global handler
    if signal.getsignal(signal.SIGTERM) is not handler:
        handler = Handler()
        sys.unraisablehook = report_unraisable
        for signum in heeded():
            signal.signal(signum, handler)


def raise_stopped() -> None:
    """From now on a signal raises Stopped at once, or after the current import."""
    heed()
    handler.is_caught = True


def finish() -> None:
    """From now on a signal ends the process, since no work is left to stop."""
    for signum in heeded():
        signal.signal(signum, exit_at_once)
    handler.received = None


def raise_received() -> None:
    """Raise Stopped if a signal waits for the end of an import, or if C code or a ``finally`` lost its Stopped."""
    if handler.received is not None:
        raise handler.raised() or handler.stopped(handler.received)


def heeded() -> list[int]:
    """Return the signals that are handled: all, without a SIGHUP that the caller ignores, as nohup does."""
    return [each for each in SIGNALS if each != HANGUP or signal.getsignal(each) != signal.SIG_IGN]


def taken() -> list[int]:
    """Return the signals that a run may take over: none of them in a thread, which cannot set handlers."""
    if owned:
        return heeded()
    import threading

    free = (signal.SIG_DFL, signal.default_int_handler)
    main = threading.current_thread() is threading.main_thread()
    return [each for each in heeded() if main and signal.getsignal(each) in free]


def is_importing(frame: FrameType | None) -> bool:
    """Whether the frame, or one that called it, is Python's import system."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def send(signum: int, thread: int) -> None:
    """Send a signal to a thread of this process, so that a blocking system call of the thread ends."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signum)
    else:
        _thread.interrupt_main(signum)  # type: ignore[arg-type]  # it takes any int


def exit_at_once(signum: int, frame: FrameType | None = None) -> None:
    """End the process with 128 + ``signum``."""
    try:
        os.write(2, f"\n{AT_ONCE}\n".encode())
    finally:
        os._exit(128 + signum)


def report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Do not report a Stopped that Python drops, for example in a destructor: ``insist`` raises it again."""
    from d2lrun.errors import Stopped

    if not issubclass(unraisable.exc_type, Stopped):
        sys.__unraisablehook__(unraisable)


class StopRequest:
    """A context in which the first signal only sets ``received``; a second one raises Stopped at once."""

    received: int | None = None

    def __enter__(self) -> "StopRequest":
        self.received = handler.take()
        self.before = {signum: signal.signal(signum, self.note) for signum in taken()}
        return self

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Store the first signal; raise Stopped for a second one."""
        resent, handler.resent = handler.resent, False
        if self.received is None or resent or is_importing(frame):
            self.received = signum
            return
        from d2lrun.errors import Stopped

        raise Stopped(signum, AT_ONCE)

    def __exit__(self, kind: type | None, *exception: object) -> None:
        if owned and kind is not None and issubclass(kind, KeyboardInterrupt):
            handler.received = self.received  # so the next signal is the second one
        for signum, before in self.before.items():
            signal.signal(signum, before)
