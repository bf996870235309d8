"""Files that come with an installed package, which is not imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from d2lrun.errors import Refused


def installed(package: str, file: str, extra: str) -> Path:
    """Return the path of a file of a package; raises Refused with the command that installs the package."""
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        missing = f"the package {package} is not installed" if path is None else f"the package {package} has no {file}"
        raise Refused(missing, f"pip install 'd2lrun[{extra}]'")
    return path
