"""Record the bits of short runs, to show that a change of the code changes no result.

python benchmarks/bits.py before.json                          # with the earlier version
python benchmarks/bits.py after.json --against before.json     # with the changed one, on the same machine

For every network, every experiment, K folds, a grid and a search: a checksum of the weights, the metrics, the samples
and the predictions of each run that a command makes. CPU, one thread, a few batches of Fashion-MNIST or the dataset of
the experiment. --keep FOLDER leaves the runs there, for a later version to resume and compare.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from d2lrun.config.keys import conf_dir
from d2lrun.config.tables import DATASETS, MODELS, TASKS

SHORT = (
    "train.epochs=2",
    "train.limit_batches=2",
    "device=cpu",
    "device.threads=1",
    "run.pictures=false",
    "sweep.name=s",
)
TEXT = ("dataset=pydoc", "dataset.max_tokens=20000")
SMALL = ("train.batch_size=16",)
TIMED = ("seconds", "per_second")  # metrics that are of no interest here


def commands() -> dict[str, list[str]]:
    """The overrides of each command, by its name."""
    found = {}
    for model, entry in MODELS.items():
        for kind in entry.inputs:
            name, base = f"{model} {kind}", [f"model={model}", *SMALL]
            if kind == "text":
                found[f"{name} holdout"] = [*base, *TEXT, "validation=holdout"]
                found[name] = [*base, *TEXT, "dataset.sampling=random"]
            elif kind == "series":
                found[name] = [*base, "dataset=sine"]
            elif kind == "sentences":
                found[name] = [*base, "dataset=labelled-text", "dataset.path=[texts.tsv]", "validation=holdout"]
            elif kind == "tagged":
                found[name] = [*base, "dataset=tagged-text", "dataset.path=[tags.txt]", "validation=holdout"]
            elif kind == "table":  # the rows of one dataset are points to weigh, for the network that weighs them
                weighs = model == "nadaraya-watson"
                found |= {
                    f"{name} {each}": [*base, f"dataset={each}"] for each in tables() if (each == "kernel") == weighs
                }
            elif kind == "pairs":
                found[name] = [*base, "dataset=arithmetic"]
            else:
                found[name] = [
                    *base,
                    *(["model.arch=resnet18"] if model == "torchvision" else []),
                    "dataset=fashion-mnist",
                ]
    for path in sorted((conf_dir() / "experiment").glob("*.yaml")):
        sweep = ["-m"] if "grid:" in path.read_text("utf-8") else []
        found[f"experiment {path.stem}"] = [*sweep, f"experiment={path.stem}", *SMALL]
    found["kfold images"] = ["model=lenet", "validation=kfold", "validation.k=3", "validation.refit=true"]
    found["kfold text"] = ["model=rnn", *TEXT, *SMALL, "validation=kfold", "validation.k=3"]
    found["kfold table"] = ["model=mlp", "dataset=linear", "validation=kfold", "validation.k=3", "validation.repeats=2"]
    found["grid"] = ["-m", "model=softmax,mlp", "optimizer.lr=0.1,0.5", "validation=holdout"]
    found["grid text"] = ["-m", "model=ngram", *TEXT, "model.order=1,2,3", "validation=holdout"]
    found["search"] = ["-m", "sweep=optuna", "sweep.trials=4", "optimizer.lr=interval(0.01,1)", "validation=holdout"]
    return found


def tables() -> list[str]:
    return [name for name, entry in DATASETS.items() if TASKS[entry.task].inputs == "table"]


def digest(path: Path) -> str:
    """A checksum of the tensors of a .safetensors file: names, types, shapes and bytes; of any other file its bytes."""
    total = hashlib.sha256()
    if path.suffix == ".safetensors":
        for name, array in sorted(load_file(path).items()):
            total.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    else:
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def of_run(folder: Path) -> dict[str, Any]:
    """What a run came to, without what depends on the time."""
    result = json.loads((folder / "result.json").read_text("utf-8"))
    timeless = {name: value for name, value in result["metrics"].items() if not name.endswith(TIMED)}
    names = ("model.safetensors", "samples.txt", "submission.csv")
    kept = {key: result.get(key) for key in ("status", "parameters", "steps", "floor", "baselines", "note", "dead")}
    files = {name: digest(folder / name) for name in names if (folder / name).exists()}
    return {"metrics": timeless, **kept, **files}


def run(words: list[str], folder: Path) -> str | None:
    """Run the command in ``folder``; return why it was refused, as for missing files; a divergence is a result."""
    done = subprocess.run(
        [sys.executable, "-m", "d2lrun", *words, *SHORT],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode == 2:
        return done.stderr.splitlines()[0]
    if done.returncode not in (0, 1, 3) or not list(folder.rglob("result.json")):
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr or done.stdout}")
    return None


def of_folder(folder: Path) -> dict[str, Any]:
    """What each of the runs in ``folder`` came to."""
    places = sorted(folder.rglob("result.json"), key=lambda path: str(path.parent.relative_to(folder)))
    return {f"{place}": of_run(path.parent) for place, path in enumerate(places)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    before = json.loads(options.against.read_text("utf-8")) if options.against else {}
    found, different = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        for name, words in commands().items():
            folder = (options.keep or Path(temporary)) / name.replace(" ", "-")
            if not folder.exists():
                folder.mkdir(parents=True)
                (folder / "texts.tsv").write_text("".join(f"{n * n} is {n % 3}\t{n % 2}\n" for n in range(99)), "utf-8")
                tags = "".join(f"a{n % 5}/{n % 3} b{n % 7}/{n % 2}\n" for n in range(99))
                (folder / "tags.txt").write_text(tags, "utf-8")
                if refusal := run(words, folder):
                    print(f"{name:40} left out: {refusal}", flush=True)
                    continue
            found[name] = of_folder(folder)
            verdict = "" if name not in before else "same" if found[name] == before[name] else "DIFFERENT"
            different += [name] if verdict == "DIFFERENT" else []
            print(f"{name:40} {len(found[name])} runs  {verdict}", flush=True)
    options.file.write_text(json.dumps(found, indent=1), "utf-8")
    if before:
        print(f"different: {', '.join(different) or 'none'} (of {len(found)} commands)")
        print(f"not run: {', '.join(before.keys() - found.keys()) or 'none'} of those before")
    raise SystemExit(bool(different))


if __name__ == "__main__":
    main()
