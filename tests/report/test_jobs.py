from io import StringIO

import pytest
from rich.console import Console

from d2lrun.report.jobs import Display, job_line, progress_line, total_left, visible


def job(number, status, **more):
    label = f"model=mlp lr={number}"
    return {"label": label, "status": status, "epoch": None, "epochs": 10, "metric": None, "seconds": None, **more}


def jobs(finished, running, pending):
    done = [job(k, "finished", epoch=10, metric=0.8, seconds=20.0) for k in range(finished)]
    now = [job(finished + k, "running", epoch=5, metric=0.7, seconds=10.0) for k in range(running)]
    return [*done, *now, *(job(finished + running + k, "pending") for k in range(pending))]


def shown(rows, width=80, height=24):
    console = Console(file=StringIO(), width=width, height=height)
    console.print(Display(console, "val_accuracy").rows(rows))
    return console.file.getvalue()


def test_a_row_a_job_where_they_fit():
    text = shown(jobs(2, 1, 1))
    assert "lr=0  finished         0.800  10/10       20.0 s" in text
    assert "lr=2  running          0.700   5/10  10.0 s left" in text
    assert "lr=3  pending" in text
    assert "val accuracy" in text


def test_words_that_all_jobs_share_are_left_out_and_one_job_keeps_its_own():
    assert "model=mlp" not in shown(jobs(2, 1, 1))
    assert "model=mlp" in shown(jobs(0, 1, 0))


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("height", [5, 10, 24])
def test_a_thousand_jobs_fit_the_terminal(width, height):
    lines = shown(jobs(12, 2, 986), width, height).splitlines()
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


def test_those_that_run_are_shown_with_the_last_that_ended():
    found = visible(jobs(12, 2, 986), 10)
    assert [each["label"] for each in found] == [f"model=mlp lr={k}" for k in range(7, 14)]
    assert len(visible(jobs(0, 30, 0), 10)) == 10


def test_counts_and_time_left():
    # 2 running need 10 s each, 6 pending 20 s each, two at a time
    assert total_left(jobs(4, 2, 6)) == pytest.approx((2 * 10 + 6 * 20) / 2)
    assert progress_line(jobs(4, 2, 6)) == "4 finished, 2 running, 6 pending, about 1 min 10 s left"


def test_before_the_first_epoch_no_time_is_promised():
    rows = [job(0, "running"), job(1, "pending")]
    assert total_left(rows) is None
    assert progress_line(rows) == "1 running, 1 pending"


def test_a_running_jobs_pace_speaks_for_the_pending_ones():
    assert total_left([job(0, "running", epoch=1, seconds=2.0), job(1, "pending")]) == pytest.approx(18 + 20)


def test_when_all_is_over_nothing_is_left():
    assert progress_line(jobs(3, 0, 0)) == "3 finished"


def test_a_line_when_a_job_ends():
    done = job(0, "finished", epoch=2, epochs=2, metric=0.853, metric_name="val_accuracy", seconds=1.8)
    line = "finished: model=mlp lr=0  val accuracy 0.853  epoch 2/2  1.8 s"
    assert job_line(done) == line
    assert job_line(done, 3, 12) == f" 3/12 {line}"


def test_the_line_of_a_failure_says_why_in_one_line():
    line = job_line(job(0, "diverged", error="loss nan\nat step 7"))
    assert line == "diverged: model=mlp lr=0: loss nan at step 7"


def test_no_jobs():
    assert shown([]).strip() == ""
