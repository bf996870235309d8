"""A picture has matplotlib's own defaults, whatever the environment and the current folder say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SETTINGS = "backend: nonsense\nfigure.facecolor: red\nfont.size: 40\ntext.usetex: True\naxes.grid: maybe\n"
DRAW = """
import json, os, sys
import torch
from d2lrun.report import figure
assert "matplotlib" not in sys.modules  # it reads its settings when it is imported: each child imports it anew
for folder, environment in json.loads(sys.argv[1]):
    if not (child := os.fork()):
        os.chdir(folder)
        os.environ.update(environment)
        {pictures}
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0, folder
"""
PICTURE = """
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


def drawn(*environments: tuple[Path, dict[str, str]]) -> list[dict[str, bytes]]:
    """For each folder and environment the PNGs that a process of its own draws there, by name."""
    pictures = "".join(PICTURE.format(module=module, name=name, arguments=words) for module, name, words in PICTURES)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MPL", "MATPLOTLIB"))}
    for folder, _ in environments:
        folder.mkdir(exist_ok=True)
    given = json.dumps([(str(folder), environment) for folder, environment in environments])
    code = DRAW.format(pictures=pictures)
    done = subprocess.run([sys.executable, "-c", code, given], env=inherited, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [{path.name: path.read_bytes() for path in folder.glob("*.png")} for folder, _ in environments]


def test_no_setting_of_others_changes_a_picture(tmp_path):
    rc = tmp_path / "set" / "matplotlibrc"
    rc.parent.mkdir()
    rc.write_bytes(SETTINGS.encode() + b"# \xff is no UTF-8\n")
    plain, *others = drawn(
        (tmp_path / "plain", {}),
        (rc.parent, {"MPLBACKEND": "nonsense"}),
        (tmp_path / "other", {"MATPLOTLIBRC": str(rc), "MPLCONFIGDIR": str(rc.parent)}),
    )
    assert sorted(plain) == ["agreement.png", "curves.png"]
    assert others == [plain, plain]
