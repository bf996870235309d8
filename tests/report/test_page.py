"""report.html: whole, escaped, and in need of no network."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from d2lrun.report.page import write_page

RESULT = {
    **{"status": "finished", "model": "mlp", "dataset": "<b>mine</b>", "seed": 1, "parameters": 203_530},
    **{"epochs": 2, "steps": 470, "seconds": 1.5, "device": "cpu", "threads": 2, "versions": {"torch": "2.13.0"}},
    "metrics": {"train_loss": 0.383, "train_accuracy": 0.864, "test_loss": float("nan"), "test_accuracy": None},
    "book": {"section": "4.3", "band": {"train_loss": [0.377, 0.386]}, "inside": True, "changed": []},
    "config_hash": "0123456789abcdef",
}
RECORDS = [{"epoch": epoch, "step": 235 * epoch, "train_loss": 1 / epoch} for epoch in (1, 2)]


@pytest.fixture
def page(tmp_path):
    Image.new("L", (3, 2), 200).save(tmp_path / "curves.png")
    write_page(tmp_path / "report.html", RESULT, RECORDS, "run:\n  name: <script>alert(1)</script>\n")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_nothing_is_fetched(page):
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "http" not in page


def test_the_pictures_are_inside(page, tmp_path):
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(data) == (tmp_path / "curves.png").read_bytes()


def test_what_users_wrote_is_text(page):
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_table_of_a_task_is_inside_and_is_text(tmp_path):
    more = {"title": "rmse by <b>steps", "heads": ["steps", "<i>"], "rows": [[16, 0.25], ["<u>", None]]}
    write_page(tmp_path / "report.html", RESULT | {"table": more}, RECORDS, "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>rmse by &lt;b&gt;steps</h2>" in page and "<th>&lt;i&gt;</th>" in page
    assert "<td>16</td><td>0.250</td>" in page and "<td>&lt;u&gt;</td><td>nan</td>" in page


def test_every_epoch_and_the_final_metrics_are_there(page):
    cells = re.findall(r"<tr>(.*?)</tr>", page)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in cells]
    assert ["1", "235", "1.0000"] in rows
    assert ["2", "470", "0.5000"] in rows
    assert ["train", "0.3830", "0.8640"] in rows
    assert ["test", "nan", "nan"] in rows


def test_the_books_band_is_beside_it(page):
    assert "train loss 0.383 in [0.377, 0.386] ✓" in page


class Tags(HTMLParser):
    """The tags that are open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_tag_is_closed(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []


def test_a_run_at_chance_is_called_so(tmp_path):
    floor = {"metric": "train_loss", "value": 0.3, "constant": "always the mean", "at_chance": True}
    write_page(tmp_path / "report.html", RESULT | {"floor": floor}, RECORDS, "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<td>at chance</td><td>train loss 0.383 is no better than always the mean (0.300)</td>" in page
