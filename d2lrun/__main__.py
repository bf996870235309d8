"""The entry point of ``d2lrun`` and ``python -m d2lrun``. It sets the signal handlers before any other import."""

import _signal

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until the handlers are set, end without a traceback

from d2lrun import signals  # noqa: E402

signals.heed()

import os  # noqa: E402
import sys  # noqa: E402


def main() -> None:
    """Run the command line."""
    from d2lrun.cli import main as command_line

    command_line.main()


def without_working_directory(path: list[str]) -> list[str]:
    """Return the import path without the folder that ``-m`` adds, so that a user's numpy.py does not replace numpy.

    The folder stays if d2lrun itself is imported from it.
    """
    absent = sys.flags.isolated or getattr(sys.flags, "safe_path", False)  # safe_path is new in Python 3.11
    try:
        added = not absent and path[0] == os.getcwd() != os.path.dirname(os.path.dirname(__file__))
    except OSError:  # the working directory was deleted
        added = False
    return path[1:] if added else path


if __name__ == "__main__":
    sys.path[:] = without_working_directory(sys.path)
    main()
