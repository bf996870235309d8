"""A run on pairs of sentences, from the command line: what it writes, and ``d2lrun translate``."""

from __future__ import annotations

import csv
import json
import os
import signal
from math import isclose

import pytest
from safetensors.torch import load_file

from d2lrun.tasks.translation.words import check
from tests.bits import same_bits

ENGLISH = ["I am here", "I am home", "you are here", "you are home", "he is here", "he is lost", "we are lost"]
FRENCH = [
    "je suis ici",
    "je suis chez moi",
    "tu es ici",
    "tu es chez toi",
    "il est ici",
    "il est perdu",
    "on est perdu",
]
SMALL = (
    *("model=seq2seq", "dataset=pairs", "dataset.path=[pairs.tsv]", "dataset.min_freq=1", "model.attention=additive"),
    *(
        "model.layers=1",
        "train.epochs=4",
        "train.batch_size=4",
        "train.sample_every=2",
        "device=cpu",
        "validation=holdout",
    ),
    "validation.fraction=0.3",
)


@pytest.fixture
def desk(d2lrun, tmp_path):
    """A folder with pairs, some sources of which have two translations."""
    rows = [f"{source}.\t{target} !\n" for source, target in zip(ENGLISH, FRENCH)]
    rows += [f"{source}.\t{target}.\n" for source, target in zip(ENGLISH, FRENCH)]
    (tmp_path / "pairs.tsv").write_text("".join(rows), encoding="utf-8")
    return d2lrun


def result(path):
    return json.loads((path / "result.json").read_text("utf-8"))


def test_a_run_writes_its_translations_and_is_measured_again_to_the_same(desk, tmp_path):
    done = desk(*SMALL, "run.dir=run")
    assert done.code == 0, done.err
    found, run = result(tmp_path / "run"), tmp_path / "run"
    rows = list(csv.DictReader((run / "translations.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 2 and all(" / " in row["references"] for row in rows)  # of 7 sources, each with 2 targets
    mean = sum(float(row["book_bleu"]) for row in rows) / len(rows)
    assert isclose(found["metrics"]["val_book_bleu"], mean, abs_tol=1e-3)
    samples = (run / "samples.txt").read_text("utf-8").splitlines()
    assert [line[:9] for line in samples] == ["epoch 2: ", "epoch 4: "]
    assert {row["source"] for row in rows} >= {each["source"] for each in found["translations"]}
    again = desk("evaluate", "run")
    assert f"val perplexity {found['metrics']['val_perplexity']:.4f}" in again.out
    assert "val book bleu" in again.out


def test_sentences_and_files_of_lines_are_translated_without_the_data(desk, tmp_path):
    assert desk(*SMALL, "run.dir=run").code == 0
    single = [desk("translate", "run", sentence).out for sentence in ("You are here.", "we are lost .")]
    (tmp_path / "pairs.tsv").unlink()
    (tmp_path / "lines.txt").write_bytes(b"\xef\xbb\xbfYou are here.\r\n\r\nwe are lost .\r\n")
    done = desk("translate", "run", "lines.txt", "You are here.")
    assert (done.code, done.err) == (0, "lines.txt is a file: each of its lines is a text\n")
    assert done.out == "".join((single[0], "\n", single[1], single[0]))
    assert desk("translate", "run", "lines.txt", "beam=3", "alpha=0").code == 0


def test_unknown_words_are_named_and_attention_is_drawn(desk, tmp_path):
    assert desk(*SMALL, "run.dir=run").code == 0
    done = desk("translate", "run", "you are here, Zoë", "picture=heat.png")
    assert done.err == "not in the vocabulary, read as <unk>: ',' 'zoë'\n"
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    assert desk(*SMALL, "model.attention=none", "run.dir=plain").code == 0
    refused = desk("translate", "plain", "you", "picture=other.png")
    assert refused.code == 2 and "model.attention=additive" in refused.err
    assert not (tmp_path / "other.png").exists()


def test_no_sentence_is_refused(desk):
    assert desk(*SMALL, "run.dir=run").code == 0
    refused = desk("translate", "run")
    assert refused.code == 2 and "error: translate: no sentence" in refused.err


@pytest.mark.parametrize(
    "word, value", [("beam", "0"), ("beam", "x"), ("beam", "1001"), ("alpha", "-1"), ("alpha", "nan")]
)
def test_a_wrong_option_is_refused(word, value):
    with pytest.raises(Exception, match=f"{word}={value}: wanted"):
        check({"beam": "1", "alpha": "0.75", word: value})


def test_folds_have_no_source_in_two_parts_and_are_averaged(desk, tmp_path):
    done = desk(*SMALL[:-2], "validation=kfold", "validation.k=3", "train.epochs=1", "run.dir=folds")
    assert done.code == 0, done.err
    found = result(tmp_path / "folds")["metrics"]
    assert found["val_perplexity"].keys() == {"mean", "std"} == found["val_book_bleu"].keys()


def test_a_sweep_is_ranked_by_what_the_dataset_measures(desk, tmp_path):
    sums = ("model=seq2seq", "dataset=arithmetic", "dataset.digits=1", "dataset.n_train=60", "dataset.n_test=20")
    small = ("model.layers=1", "train.epochs=2", "device=cpu", "validation=holdout", "sweep.name=s")
    done = desk("-m", *sums, *small, "optimizer.lr=0.001,0.02")
    assert done.code == 0, done.err
    assert "val exact match" in done.out.replace("_", " ")
    best = json.loads((tmp_path / "outputs/sweeps/s/sweep.json").read_text("utf-8"))["best"]
    assert best is not None


def test_the_data_are_counted(desk):
    done = desk("data", "dataset=pairs", "dataset.path=[pairs.tsv]", "dataset.steps=3")
    assert done.code == 0, done.err
    assert "train source     14" in done.out and "14 source sentences cut: longer than dataset.steps=3" in done.out


def test_a_stopped_run_continues_to_the_same_bits(desk, at_step, tmp_path):
    whole = desk(*SMALL, "model.dropout=0.3", "run.dir=whole")
    with at_step(5, lambda: os.kill(os.getpid(), signal.SIGINT)):
        stopped = desk(*SMALL, "model.dropout=0.3", "run.dir=run")
    assert (whole.code, stopped.code) == (0, 130)
    assert desk("resume", "run").code == 0
    weights, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "whole"))
    assert same_bits(weights, wanted)
    for name in ("samples.txt", "translations.csv", "vocabulary.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
