"""Tagged sentences: whole runs in this process, what they leave, and what a run answers."""

from __future__ import annotations

import csv
import io
import json
import random

import pytest
import torch
from rich.console import Console

from d2lrun import datasets
from d2lrun.cli import verbs
from d2lrun.config.compose import compose
from d2lrun.disk import rundir, weights
from d2lrun.errors import Refused, Stopped
from d2lrun.runs import kfold
from d2lrun.runs.inference import evaluate_run
from d2lrun.runs.run import run

SMALL = ["model=lstm", "model.hidden=12", "model.embedding=8", "model.bidirectional=true", "device=cpu"]
SMALL += ["optimizer=adam", "optimizer.lr=0.02", "train.batch_size=8", "train.epochs=3", "dataset.characters=3"]
SMALL += ["dataset=tagged-text", "dataset.path=[own.conll]", "dataset.min_freq=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A language in which the tag of "b" is that of the word before it; own.conll has 80 sentences, test.conll 20."""
    folder, numbers = tmp_path_factory.mktemp("tags"), random.Random(1)
    for name, count in (("own.conll", 80), ("test.conll", 20)):
        lines = []
        for _ in range(count):
            for _ in range(numbers.randint(1, 5)):
                word = numbers.choice(["ax", "cy"])
                tag = "X" if word == "ax" else "Y"
                lines += [f"{word} {tag}", *([f"b {tag}"] if numbers.random() < 0.7 else [])]
            lines.append("")
        (folder / name).write_text("\n".join(lines))
    return folder


@pytest.fixture
def train(folder, tmp_path, monkeypatch):
    """``train(WORD…)``: a run to its end; its directory and its result."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datasets, "_last", None)

    def train(*words, name="run"):
        config = compose([*SMALL, "run.pictures=false", f"run.dir={tmp_path / name}", *words])
        with rundir.claim(config) as directory:
            whole = kfold.run_folds if kfold.is_folded(config) else run
            return directory, whole(config, directory, Console(file=io.StringIO()), [])

    return train


def test_a_run_is_better_than_each_words_most_frequent_tag(train, tmp_path, capsys):
    directory, result = train("train.epochs=6", "dataset.test=test.conll", "validation=holdout", "run.pictures=true")
    metrics, base = result["metrics"], result["baselines"]["most frequent tag of the word"]
    assert metrics["val_accuracy"] > 0.95 > 0.9 > base >= result["floor"]["value"]
    assert evaluate_run(directory) == {key: metrics[key] for key in metrics if key.startswith("test_")}
    rows = list(csv.DictReader(directory.path.joinpath("tags.csv").read_text().splitlines()))
    assert {row["tag"] for row in rows} == {"X", "Y"}
    assert sum(int(row["words"]) for row in rows) == result_words(directory)
    assert json.loads(directory.vocabulary_file.read_text())["tags"] in (["<unk>", "X", "Y"], ["<unk>", "Y", "X"])
    page = directory.page.read_text()
    assert "most frequent tag of each word" in page and "predictions" in page and "epoch 6: " in page
    assert answer(capsys, "tag", str(directory.path), "ax b cy b", "cy zz") == "ax/X b/X cy/Y b/Y\ncy/Y"
    (tmp_path / "lines.txt").write_text("cy b\r\n\r\nax b\n")
    assert answer(capsys, "tag", str(directory.path), str(tmp_path / "lines.txt")) == "cy/Y b/Y\nax/X b/X"
    assert "test part: accuracy" in answer(capsys, "tag", str(directory.path))


def result_words(directory):
    return directory.data()["parts"]["val"]["count"]


def answer(capsys, *words):
    """What a verb prints; the tag of the unknown word zz is left out."""
    verbs.ask(words[0], [*words[1:]])
    return capsys.readouterr().out.strip().partition(" zz/")[0]


def test_an_interrupted_run_ends_with_the_same_bits(train, tmp_path, monkeypatch):
    whole, _ = train(name="whole")
    from d2lrun.runs import run as module

    class Stop:
        received = None

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(module, "due", lambda config, step: setattr(Stop, "received", 15 if step == 17 else None))
        patch.setattr(module, "StopRequest", Stop)
        with pytest.raises(Stopped):
            train(name="cut")
    cut, _ = train(name="cut")
    first, second = (weights.read(each.weights_file) for each in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(cut.metrics_file.read_text().splitlines()) == 3


def test_each_fold_has_the_vocabulary_of_its_own_training_part(train, folder):
    lines = [f"w{n} {'XY'[n % 2]}\nw{n} X\n\n" for n in range(9)]
    (folder / "words.conll").write_text("".join(lines))
    directory, result = train("validation=kfold", "validation.k=3", "dataset.path=[words.conll]", "train.epochs=1")
    known = [
        set(json.loads((directory.path / f"fold-{n}" / "vocabulary.json").read_text())["tokens"]) for n in range(3)
    ]
    assert [len(each) for each in known] == [8, 8, 8]  # <unk>, <pad>, and the words of six sentences
    assert set.intersection(*known) == {"<unk>", "<pad>"}
    assert result["metrics"]["val_accuracy"]["mean"] >= 0


def test_a_tag_that_only_the_held_out_part_has_is_an_error(train, folder):
    (folder / "new.conll").write_text("ax NEW\n\ncy Y\n")
    directory, result = train("dataset.test=new.conll", "validation=once")
    assert result["metrics"]["test_accuracy"] <= 0.5
    assert "1 tag that training does not have (NEW): counted as errors" in directory.log.read_text()


def test_words_alone_train(train):
    _, result = train("dataset.characters=null", "validation=holdout", "train.epochs=1")
    assert result["status"] == "finished"


def test_chinese_without_spaces_needs_jieba(train, monkeypatch):
    directory, _ = train("train.epochs=1")
    monkeypatch.setitem(__import__("sys").modules, "jieba", None)
    from d2lrun.text import corpus

    corpus.chinese_words.cache_clear()
    with pytest.raises(Refused, match="needs jieba") as caught:
        verbs.ask("tag", [str(directory.path), "我爱北京"])
    assert "pip install 'd2lrun[zh]'" in caught.value.hint
