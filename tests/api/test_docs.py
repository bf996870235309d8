"""docs/python.md: its examples run, one after the other, as in a notebook."""

from __future__ import annotations

import re
from pathlib import Path

from d2lrun.datasets import fashion_mnist

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


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
