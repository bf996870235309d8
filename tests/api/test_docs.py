"""docs/python.md: its examples run, one after the other, as in a notebook."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import d2lrun as d2l
from d2lrun.datasets import fashion_mnist

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "python.md"


def test_the_examples_run(tmp_path, monkeypatch, stripes):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fashion_mnist, "load", lambda **given: stripes)
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 8
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # the page of this project
    assert names["run"].status == names["longer"].status == names["table"].status == "finished"
    assert names["search"].best_score_ > 0 and len(names["sweep"].records) == 4 and len(names["found"]) == 100


def test_the_commands_of_the_page_about_plugins_work(d2lrun):
    text = (DOCS / "plugins.md").read_text("utf-8")
    Path("nets.py").write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], "utf-8")
    commands = re.findall(r"^d2lrun (.*)$", text, re.MULTILINE)
    assert len(commands) == 4
    for command in map(shlex.split, commands):
        trains = "model=tiny-cnn" in command and "summary" not in command
        done = d2lrun(*command, *(["train.epochs=1", "device=cpu", "dataset.n=60"] if "-m" in command else []))
        assert done.code == 0, done.err
        assert not trains or "finished" in done.out
    [run] = Path("outputs/runs/bars/tiny-cnn").iterdir()
    assert d2l.load(run).metrics["test_accuracy"] > 0.9  # as a network should that can learn them
