"""A picture has matplotlib's own defaults, whatever the environment and the current folder say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = "backend: nonsense\nfigure.facecolor: red\nfont.size: 40\ntext.usetex: True\naxes.grid: maybe\n"
DRAW = """
import os
import torch
from d2lrun.{module} import {name}
before = dict(os.environ), os.getcwd()
{name}({arguments})
assert (dict(os.environ), os.getcwd()) == before
"""
ROWS = "torch.arange(1.0, 9.0)"
PICTURES = {
    "curves": ("report.curves", "draw_curves", "[{'epoch': 1, 'train_loss': 1.0}], 'a.png', 't'"),
    "agreement": ("tasks.tabular.pictures", "draw_agreement", f"'a.png', {ROWS}, {ROWS}, 'price', 't', True"),
}


def drawn(folder: Path, picture: str, **environment: str) -> bytes:
    """The PNG that a new process draws in ``folder``."""
    folder.mkdir(exist_ok=True)
    module, name, arguments = PICTURES[picture]
    code = DRAW.format(module=module, name=name, arguments=arguments)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MPL", "MATPLOTLIB"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=inherited | environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return (folder / "a.png").read_bytes()


@pytest.mark.parametrize("picture", PICTURES)
def test_no_setting_of_others_changes_a_picture(tmp_path, picture):
    plain = drawn(tmp_path / "plain", picture)
    rc = tmp_path / "set" / "matplotlibrc"
    rc.parent.mkdir()
    rc.write_bytes(SETTINGS.encode() + b"# \xff is no UTF-8\n")
    assert drawn(tmp_path / "set", picture, MPLBACKEND="nonsense") == plain
    elsewhere = drawn(tmp_path / "other", picture, MATPLOTLIBRC=str(rc), MPLCONFIGDIR=str(rc.parent))
    assert elsewhere == plain
