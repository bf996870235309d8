"""What only a GPU can show: every network runs on it, stops and resumes to the same bits; speeds; the book's recipes.

    python benchmarks/gpu.py short       # each command of bits.py on a GPU, a few batches: does it run?
    python benchmarks/gpu.py resume      # killed and resumed under device.deterministic=true: the same bits?
    python benchmarks/gpu.py speed       # the forecast of d2lrun cost by network and precision, one run at a time
    python benchmarks/gpu.py recipes     # the book's recipes of chapter 7 in full

--jobs N runs N commands at the same time (not for ``speed``); --only WORD takes the commands whose name holds WORD;
--out FILE appends a line of JSON for each command that ended, so that a lease that ends early loses nothing;
further OVERRIDES are added to each command.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import bits

CHAPTER_7 = ("alexnet", "vgg", "nin", "googlenet", "resnet", "densenet")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
RESUMED = {  # one command for each way of feeding a network
    "images": ["model=resnet", "train.limit_batches=12", "train.epochs=2"],
    "augmented": ["model=lenet", "augment=strong", "train.limit_batches=60", "train.epochs=2"],
    "text": ["model=lstm", "train.epochs=12"],
    "attention": ["experiment=bahdanau", "train.epochs=6"],
    "transformer": ["experiment=transformer", "train.epochs=12"],
}
QUIET = ("run.pictures=false", "device=cuda")
Made = dict[str, Any]


def d2lrun(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``."""
    return subprocess.run([sys.executable, "-m", "d2lrun", *words], cwd=folder, capture_output=True, text=True)


def outcome(done: subprocess.CompletedProcess[str], folder: Path) -> Made:
    """The exit code, the end of the output if it is not 0, and what the first run in ``folder`` came to."""
    found = sorted(folder.rglob("result.json"))
    result = json.loads(found[0].read_text("utf-8")) if found else {}
    return {
        "code": done.returncode,
        "seconds": result.get("seconds"),
        "metrics": result.get("metrics"),
        "book": (result.get("book") or {}).get("inside"),
        "said": "" if done.returncode == 0 else (done.stderr or done.stdout)[-600:],
    }


def short(more: list[str]) -> dict[str, Callable[[Path], Made]]:
    def one(words: list[str], folder: Path) -> Made:
        (folder / "texts.tsv").write_text("".join(f"{n * n} is {n % 3}\t{n % 2}\n" for n in range(99)), "utf-8")
        tags = "".join(f"a{n % 5}/{n % 3} b{n % 7}/{n % 2}\n" for n in range(99))
        (folder / "tags.txt").write_text(tags, "utf-8")
        return outcome(d2lrun([*words, *bits.SHORT, "device=cuda", "device.threads=null", *more], folder), folder)

    return {name: partial(one, words) for name, words in bits.commands().items()}


def resume(more: list[str]) -> dict[str, Callable[[Path], Made]]:
    """Each command once whole and once killed at a checkpoint and resumed; compares the bits of the weights."""

    def one(words: list[str], folder: Path) -> Made:
        exact = [*words, *QUIET, "device.deterministic=true", "train.checkpoint_every=3", *more]
        whole, killed = folder / "whole", folder / "killed"
        first = d2lrun([*exact, f"run.dir={whole}"], folder)
        if first.returncode:
            return outcome(first, whole)
        process = subprocess.Popen(
            [sys.executable, "-m", "d2lrun", *exact, f"run.dir={killed}"], cwd=folder, stdout=subprocess.DEVNULL
        )
        while process.poll() is None and not list(killed.glob("checkpoints/*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        stopped = not (killed / "result.json").exists()
        made = outcome(d2lrun(["resume", str(killed)], folder), killed)
        same = [bits.digest(place / "model.safetensors") for place in (whole, killed)]
        return made | {"killed in time": stopped, "same bits": same[0] == same[1]}

    return {name: partial(one, words) for name, words in RESUMED.items()}


def speed(more: list[str]) -> dict[str, Callable[[Path], Made]]:
    def one(words: list[str], folder: Path) -> Made:
        done = d2lrun(["cost", *words, "device=cuda", *more], folder)
        return outcome(done, folder) | {"said": (done.stdout + done.stderr)[-600:]}

    return {
        f"{model} {precision}": partial(one, [f"model={model}", f"device.precision={precision}"])
        for model in (*CHAPTER_7, "lenet", "lstm", "transformer")
        for precision in PRECISIONS
    }


def recipes(more: list[str]) -> dict[str, Callable[[Path], Made]]:
    def one(words: list[str], folder: Path) -> Made:
        return outcome(d2lrun([*words, *QUIET, *more], folder), folder)

    return {name: partial(one, [f"model={name}"]) for name in CHAPTER_7}


KINDS = {each.__name__: each for each in (short, resume, speed, recipes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=Path(os.devnull))
    options, more = parser.parse_known_args()
    chosen = {name: run for name, run in KINDS[options.what](more).items() if options.only in name}
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(options.jobs) as pool:

        def timed(name: str) -> Made:
            folder = Path(temporary) / name.replace(" ", "-")
            folder.mkdir()
            begun = time.perf_counter()
            found = {"name": name, **chosen[name](folder), "wall": round(time.perf_counter() - begun, 1)}
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            return found

        for found in pool.map(timed, chosen):
            print(" ".join(f"{key}={value}" for key, value in found.items() if value not in (None, "")), flush=True)


if __name__ == "__main__":
    main()
