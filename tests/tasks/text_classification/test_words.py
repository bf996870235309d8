"""A run of a classification of texts, and what it is asked: predictions of texts, files, and the test part."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from d2lrun.cli import main

WORDS = ["model=bag-of-words", "dataset=labelled-text", "dataset.steps=8", "optimizer.lr=0.1", "run.dir=run"]
WORDS += ["device=cpu", "device.threads=1", "train.epochs=4", "train.batch_size=16"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run, by its overrides; each test gets a copy."""
    return {}, tmp_path_factory


@pytest.fixture
def trained(finished, d2lrun, own_texts, tmp_path):
    runs, folders = finished

    def train(*more):
        if more not in runs:
            assert d2lrun(*WORDS, *own_texts, *more).code == 0
            runs[more] = shutil.move(tmp_path / "run", folders.mktemp("run") / "run")
        shutil.copytree(runs[more], tmp_path / "run")
        return tmp_path / "run"

    return train


def probabilities(run):
    rows = csv.DictReader(io.StringIO((run / "predictions.csv").read_text("utf-8"), newline=""))
    return {row["text"]: (row["predicted"], float(row["probability"])) for row in rows}


def test_a_run_knows_its_vocabulary_and_learns(trained):
    run = trained()
    found = json.loads((run / "vocabulary.json").read_text("utf-8"))
    assert found["labels"] == ["bad", "good"]
    assert found["tokens"][:3] == ["<unk>", "<pad>", "so"]
    assert json.loads((run / "result.json").read_text("utf-8"))["metrics"]["test_accuracy"] == 1.0


def test_the_test_part_is_predicted_with_a_table(trained, d2lrun):
    run = trained()
    done = d2lrun("predict", "run")
    assert done.code == 0 and "accuracy 1.000: 30 of 30" in done.out
    assert len((run / "predictions.csv").read_text("utf-8").splitlines()) == 31


def test_a_text_needs_no_data_and_has_the_same_probability(trained, d2lrun, tmp_path):
    run = trained()
    d2lrun("predict", "run")
    text, (label, probability) = next(iter(probabilities(run).items()))
    config = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(config.replace("train.tsv", "gone.tsv"), encoding="utf-8")
    out = d2lrun("predict", "run", text, "top=1").out.split()
    assert out[-3:-1] == [label, f"{probability:.1%}"]


def test_each_line_of_a_file_is_a_text(trained, d2lrun, tmp_path):
    trained()
    (tmp_path / "new.txt").write_bytes("\ufeffit is good\r\n\r\nit is bad\r\n".encode())
    done = d2lrun("predict", "run", "new.txt", "so good", "top=1")
    assert done.err == "new.txt is a file: each of its lines is a text\n"
    assert [line.split()[0] for line in done.out.splitlines() if "%" in line] == ["good", "bad", "good"]


@pytest.mark.parametrize("text, said", [("价格=好", "not in the vocabulary"), ("", "(no text)"), ("good " * 100, "…")])
def test_any_text_is_predicted(trained, d2lrun, text, said):
    trained()
    done = d2lrun("predict", "run", text)
    assert done.code == 0 and said in done.out


@pytest.mark.parametrize(
    "words, said",
    [(["x", "top=0"], "top=0: wanted"), (["x", "invert=yes"], "invert=yes: not for"), (["x", "tpo=2"], "top")],
)
def test_a_wrong_option_is_refused(trained, d2lrun, words, said):
    trained()
    done = d2lrun("predict", "run", *words)
    assert done.code == 2 and said in done.err


def test_a_damaged_vocabulary_is_refused(trained, d2lrun):
    (trained() / "vocabulary.json").write_text('{"tokens": ["<unk>"]}')
    done = d2lrun("predict", "run", "good")
    assert done.code == 2 and 'wanted "labels"' in done.err


def test_other_texts_are_refused(trained, d2lrun, own_texts):
    trained()
    path = Path(own_texts[0].partition("=")[2].strip("[]"))
    copy = path.with_name("other.tsv")
    copy.write_text(path.read_text("utf-8").replace("it is", "that is"), encoding="utf-8")
    done = d2lrun("evaluate", "run", f"dataset.path={copy}")
    assert done.code == 2 and "other.tsv: sha256" in done.err


def test_moved_texts_are_found(trained, d2lrun, own_texts):
    trained()
    moves = []
    for word in own_texts:
        key, _, path = word.partition("=")
        copy = Path(path.strip("[]")).with_name(f"moved-{key}.tsv")
        shutil.copy(path.strip("[]"), copy)
        moves.append(f"{key}={copy}")
    assert "test accuracy 1.0000" in d2lrun("evaluate", "run", *moves).out


def test_each_fold_has_its_own_vocabulary(d2lrun, own_texts, tmp_path):
    rows = [f"word{n} {'good' if n % 2 else 'bad'}\t{n % 2}" for n in range(12)]
    (tmp_path / "mine.tsv").write_text("\n".join(rows), encoding="utf-8")
    words = ["dataset.path=[mine.tsv]", "dataset.min_freq=1", "validation=kfold", "validation.k=3", "train.epochs=1"]
    assert d2lrun(*WORDS, *words).code == 0
    found = [
        json.loads(path.read_text("utf-8"))["tokens"] for path in sorted(tmp_path.glob("run/fold-*/vocabulary.json"))
    ]
    own = [{token for token in tokens if token.startswith("word")} for tokens in found]
    assert [len(each) for each in own] == [8, 8, 8] and not set.intersection(*own)


def test_pictures_and_mistakes_are_drawn(trained, d2lrun, own_texts, tmp_path, monkeypatch):
    monkeypatch.undo()  # the fixture d2lrun draws nothing
    monkeypatch.chdir(tmp_path)
    assert main.dispatch([*WORDS, *own_texts, "dataset.test=[]", "validation=holdout", "train.epochs=1"]) == 0
    for name in ("predictions.png", "report.html", "curves.png", "mistakes.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 20
    assert main.dispatch(["data", "dataset=labelled-text", *own_texts]) == 0
    assert (tmp_path / "outputs" / "data" / "train.png").exists()
