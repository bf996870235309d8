import re

from PIL import Image

from d2lrun.report.sweep_page import write_sweep_page


def page(tmp_path, sweep):
    Image.new("L", (3, 2), 200).save(tmp_path / "sweep.png")
    write_sweep_page(tmp_path / "report.html", sweep)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def rows(page):
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]


def test_every_group_is_a_row_the_best_first(make_sweep, tmp_path):
    values = {"mlp": 0.8, "lenet": 0.9}
    found = rows(page(tmp_path, make_sweep({"model": list(values)}, lambda each: values[each["model"]])))
    groups = [row for row in found if len(row) > 2]
    assert [row[:3] for row in groups] == [["★", "lenet", "finished"], ["", "mlp", "finished"]]


def test_failures_have_reason_and_log(make_sweep, tmp_path):
    found = rows(page(tmp_path, make_sweep({"model": ["mlp", "lenet"]}, failed=(1,))))
    assert ["model=lenet", "diverged: loss nan at epoch 1, step 7, lr 3", "job-0000000000000001/run.log"] in found


def test_it_opens_without_a_network_and_users_words_are_text(make_sweep, tmp_path):
    text = page(tmp_path, make_sweep({"model": ["<script>alert(1)</script>"]}, name="<b>"))
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "<script" not in text and "<b>" not in text
    assert text.count("data:image/png;base64,") == 1


def test_a_sweep_that_failed_has_a_page(make_sweep, tmp_path):
    assert "2 jobs, 2 diverged" in page(tmp_path, make_sweep({"model": ["a", "b"]}, failed=(0, 1)))


def test_rows_at_chance_are_called_so(make_sweep, tmp_path):
    sweep = make_sweep({"model": ["mlp", "lenet"]}, lambda each: 0.1)
    sweep["jobs"][0]["at_chance"] = True
    assert ["mlp", "finished, at chance"] in [row[1:3] for row in rows(page(tmp_path, sweep)) if len(row) > 2]
