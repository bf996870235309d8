"""SIGINT and SIGTERM: raised as Stopped, or, while a run trains, remembered until it has saved itself."""

from __future__ import annotations

import signal
from types import FrameType

from d2lrun.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def raise_stopped() -> None:
    """From now on SIGINT and SIGTERM raise Stopped wherever the program is."""

    def leave(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum, "stopped")

    for signum in SIGNALS:
        signal.signal(signum, leave)


class StopRequest:
    """A context in which the first signal only sets ``received``; a second one raises Stopped at once."""

    received: int | None = None

    def __enter__(self) -> StopRequest:
        self.before = {signum: signal.signal(signum, self.note) for signum in SIGNALS}
        return self

    def note(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Stopped(signum, "stopped at once; what was saved before is untouched")
        self.received = signum

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self.before.items():
            signal.signal(signum, handler)
