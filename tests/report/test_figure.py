"""A picture has matplotlib's own defaults, whatever the environment and the current folder say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = "backend: nonsense\nfigure.facecolor: red\nfont.size: 40\ntext.usetex: True\naxes.grid: maybe\n"
DRAW = """
import os
from d2lrun.{module} import {name}
before = dict(os.environ), os.getcwd()
{name}({arguments})
assert (dict(os.environ), os.getcwd()) == before
"""
ROWS = "torch.arange(1.0, 9.0)"
PICTURES = [
    ("report.curves", "draw_curves", "[{'epoch': 1, 'train_loss': 1.0}], 'curves.png', 't'"),
    ("tasks.tabular.pictures", "draw_agreement", f"'agreement.png', {ROWS}, {ROWS}, 'price', 't', True"),
]


def drawn(folder: Path, **environment: str) -> dict[str, bytes]:
    """The PNGs that a new process draws in ``folder``, by name."""
    folder.mkdir(exist_ok=True)
    code = "import torch\n" + "".join(
        DRAW.format(module=module, name=name, arguments=arguments) for module, name, arguments in PICTURES
    )
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MPL", "MATPLOTLIB"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=inherited | environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_no_setting_of_others_changes_a_picture(tmp_path):
    plain = drawn(tmp_path / "plain")
    assert sorted(plain) == ["agreement.png", "curves.png"]
    rc = tmp_path / "set" / "matplotlibrc"
    rc.parent.mkdir()
    rc.write_bytes(SETTINGS.encode() + b"# \xff is no UTF-8\n")
    assert drawn(tmp_path / "set", MPLBACKEND="nonsense") == plain
    elsewhere = drawn(tmp_path / "other", MATPLOTLIBRC=str(rc), MPLCONFIGDIR=str(rc.parent))
    assert elsewhere == plain
