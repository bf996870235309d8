"""``python -m d2lrun`` is ``d2lrun``."""

import os
import sys


def without_working_directory(path: list[str]) -> list[str]:
    """The import path without the folder that ``-m`` puts in front of it: a user's numpy.py there is not numpy.

    The folder stays if d2lrun itself is imported from it.
    """
    absent = sys.flags.isolated or getattr(sys.flags, "safe_path", False)  # the second from Python 3.11 on
    try:
        added = not absent and path[0] == os.getcwd() != os.path.dirname(os.path.dirname(__file__))
    except OSError:  # the working directory was deleted
        added = False
    return path[1:] if added else path


sys.path[:] = without_working_directory(sys.path)

from d2lrun.cli import main  # noqa: E402

main()
