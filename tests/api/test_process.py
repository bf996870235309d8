"""A run in the user's process: nothing there is disturbed, and nothing there disturbs the run."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import d2lrun as d2l
from d2lrun.api import process
from d2lrun.disk import files
from d2lrun.errors import Stopped
from d2lrun.training import devices
from tests.bits import same_bits

# --- the process of the user -----------------------------------------------------------------------------------------


def state() -> list:
    backends = torch.backends
    return [
        *(torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
        *(torch.are_deterministic_algorithms_enabled(), torch.is_inference_mode_enabled()),
        *(each.fp32_precision for each in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)),
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        *(signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
        *(sys.unraisablehook, sys.argv, threading.active_count(), dict(os.environ), list(warnings.filters)),
    ]


def test_the_generators_are_left_as_they_were_by_code_of_the_user(short):
    def seeds():
        torch.manual_seed(3), np.random.seed(3), random.seed(3)
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

    before = state(), random.getstate()
    d2l.build(*short, model=seeds)
    assert (state(), random.getstate()) == before


def test_the_process_is_left_as_it_was_and_does_not_disturb_the_run(bits, short, trained):
    before = state()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.conv.fp32_precision = "tf32"
        torch.manual_seed(99)
        np.random.seed(99)
        changed = state()
        with torch.no_grad(), torch.device("meta"):
            run = d2l.train(*short)
        assert state() == changed
        assert same_bits(bits(run), bits(trained))
    finally:
        torch.set_default_dtype(before[1])
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[4])
        torch.backends.cudnn.conv.fp32_precision = before[7]


def test_the_generators_of_the_gpus_are_given_back(monkeypatch):
    drawn = {"gpus": 3}  # a machine with GPUs
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: drawn["gpus"])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda states: drawn.update(gpus=states))
    with process.generators():
        drawn["gpus"] += 1
    assert drawn["gpus"] == 3


def test_the_users_style_of_pictures_stays_and_changes_none(own_images):
    import matplotlib

    words = ["model=softmax", "device=cpu", "train.epochs=1", *own_images]
    plain = d2l.train(*words)
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30.0}):
        before = dict(matplotlib.rcParams)
        styled = d2l.train(*words)
        assert dict(matplotlib.rcParams) == before
    pictures = [{path.name: path.read_bytes() for path in run.directory.glob("*.png")} for run in (plain, styled)]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 2


def test_runs_in_two_threads_have_the_bits_of_runs_one_after_the_other(bits, short, trained):
    found = []

    def work(seed: int) -> None:
        found.append((seed, d2l.train(*short, "model=mlp", "model.dropout=[0.5]", seed=seed)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 2
    for seed, run in found:
        again = d2l.train(*short, "model=mlp", "model.dropout=[0.5]", seed=seed)
        assert same_bits(bits(run), bits(again))


def test_the_lines_of_a_run_go_to_the_log_and_not_to_the_terminal(short, caplog, capfd, monkeypatch):
    monkeypatch.setattr(process.LOG, "disabled", False)  # Hydra disables all loggers that there are
    caplog.set_level(logging.INFO, logger="d2lrun")
    d2l.train(*short)
    assert capfd.readouterr() == ("", "")
    assert any("epoch 2/2" in record.message for record in caplog.records)
    assert logging.getLogger("d2lrun").level == logging.INFO  # the user's


# --- an interrupted cell ---------------------------------------------------------------------------------------------


def test_the_same_cell_continues_what_an_interrupt_has_stopped(bits, short, trained, interrupted):
    stopped = interrupted(*short)
    assert isinstance(stopped.value, Stopped) and "saved" in str(stopped.value)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run = d2l.train(*short)
    assert run.status == "finished" and same_bits(bits(run), bits(trained))
    assert "resuming at epoch" in (run.directory / "run.log").read_text()
    assert d2l.train(*short).directory != run.directory  # a finished run is not continued: this is a new one


def test_another_cell_is_another_run(short, interrupted):
    interrupted(*short)
    [directory] = Path("outputs/runs").glob("*/*/*")
    stopped, other = d2l.load(directory), d2l.train(*short, seed=2)
    assert stopped.status == "stopped" and other.directory != stopped.directory
    assert d2l.resume(stopped).status == "finished"


def test_a_run_that_another_process_trains_is_not_the_one_to_continue(short, interrupted):
    interrupted(*short)
    [directory] = Path("outputs/runs").glob("*/*/*")
    with files.lock(directory / ".lock"):
        other = d2l.train(*short)
    assert other.status == "finished" and other.directory.name != directory.name
    assert d2l.load(directory).status == "stopped"


def test_a_handler_of_the_user_stays(short, at_step, interrupts):
    received = []
    before = signal.signal(signal.SIGINT, lambda signum, frame: received.append(signum))
    try:
        with at_step(3, lambda: signal.raise_signal(signal.SIGINT)):
            assert d2l.train(*short).status == "finished"
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]


def test_lines_go_where_they_are_wanted(capsys):
    assert process.display(None)[0].is_terminal is False and process.display(True)[0].is_terminal is False
    process.display(False)[0].print("on stdout")
    process.console().print("in the log")
    assert capsys.readouterr().out == "on stdout\n"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_inside_autocast_of_the_user_has_its_own_precision(bits, short, d2lrun, monkeypatch, precision):
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32", "bf16"])
    words = [*short, "model=mlp", f"device.precision={precision}"]
    assert d2lrun(*words, "run.dir=command").code == 0
    with torch.autocast("cpu", torch.bfloat16):
        run = d2l.train(*words)
        assert torch.is_autocast_enabled("cpu")
    assert same_bits(bits(run), bits(d2l.load("command")))
