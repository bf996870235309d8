"""``d2lrun doctor``: show versions, devices and data, and whether a first run would work."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.config import plugins
from d2lrun.config.keys import conf_dir
from d2lrun.counts import counted
from d2lrun.errors import Refused
from d2lrun.report.text import say

if TYPE_CHECKING:
    from rich.console import Console

PACKAGES = ("d2lrun", "torch", "torchvision", "hydra-core", "omegaconf", "numpy", "matplotlib", "rich", "safetensors")


def examine(console: Console) -> int:
    """Print a line for each fact; return 0 if a first run would work, else 2."""
    facts = {
        "python": f"{platform.python_version()} in {sys.prefix}",
        "system": f"{platform.platform()}, {os.cpu_count()} processors",
        **{name: installed(name) for name in PACKAGES},
        "plugins": ", ".join(f"{entry.name} ({entry.value})" for entry in plugins.installed()) or "none",
        "devices": devices_seen(),
        "config": f"{conf_dir()}",
        "terminal": f"{console.width} columns, {console.encoding}, {'interactive' if console.is_terminal else 'piped'}"
        + (", NO_COLOR" if console.no_color else ""),
        "disk": f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB free in {Path.cwd()}",
    }
    for name, fact in facts.items():
        say(console, f"{name:<13}{fact}")
    return look_for_data(console)


def installed(package: str) -> str:
    """Return the version of a package, or 'not installed'."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def devices_seen() -> str:
    """Return the devices with their precisions, the threads, and the CUDA version of torch."""
    import torch

    from d2lrun.training.devices import available, precisions

    cuda = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    seen = [f"{device} with {', '.join(precisions(torch.device(device)))}" for device in available()]
    threads = counted(torch.get_num_threads(), "thread")
    return f"{'; '.join(seen)} ({threads}; torch {cuda}{''.join(f'; {n}' for n in names)})"


def look_for_data(console: Console) -> int:
    """Print whether the default dataset is on this machine, without a download; return the exit code."""
    from d2lrun import datasets
    from d2lrun.config.compose import compose

    try:
        dataset = datasets.load(compose(["dataset.mirrors=[]"]).dataset)
    except Refused as missing:
        say(console, f"{'data':<13}{missing}")
        say(console, f"{'':<13}{missing.hint}")
        return missing.code
    say(console, f"{'data':<13}{dataset.name} in {dataset.source}")
    return 0
