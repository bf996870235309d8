"""Text as its user meets it, command by command: from a file to a trained model to what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import Outcome, in_this_process

ROOT = Path(__file__).parents[2]
ENGLISH = "the cat sat on a mat and saw\nhow nine dogs ran over the old hills\n"
CHINESE = "时间旅行者说，天空很高很蓝。\n我们来到北京，今天天气很好。\n"
SMALL = ("dataset=text", "dataset.steps=8", "train.batch_size=4", "train.epochs=2", "device=cpu")
HELD = "validation=holdout"


class Desk:
    """A folder with an English and a Chinese text, where d2lrun is called."""

    def __init__(self, path: Path):
        self.path = path
        (path / "en.txt").write_text(ENGLISH * 20, encoding="utf-8")
        (path / "zh.txt").write_text(CHINESE * 20, encoding="utf-8")

    def __call__(self, *words: str, code: int = 0) -> Outcome:
        done = in_this_process(self.path, *words, COLUMNS="80", D2LRUN_CACHE=str(self.path / "cache"))
        assert done.code == code, done.err
        assert "Traceback" not in done.err
        return done


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Trained in it: lstm (English), words (English), zh (Chinese, counted), bi."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.told = {
        "lstm": desk("model=lstm", *SMALL, HELD, "dataset.path=[en.txt]", "model.hidden=8", "run.dir=lstm"),
        "words": desk("model=gru", *SMALL, "dataset.kind=word", "dataset.path=[en.txt]", "run.dir=words"),
        "zh": desk("model=ngram", *SMALL[:4], "dataset.path=[zh.txt]", "run.dir=zh"),
        "bi": desk("model=lstm", *SMALL, "model.bidirectional=true", "dataset.path=[en.txt]", "run.dir=bi"),
    }
    return desk


def test_the_end_of_a_run_shows_perplexity_beside_guessing_and_a_sample(desk):
    told = desk.told["lstm"].out
    assert "baselines   val perplexity: uniform" in told
    (line,) = (desk.path / "lstm" / "samples.txt").read_text("utf-8").split("epoch 2: ")[1:]
    assert f" sample      {line.split()[0]}" in told
    assert "not comparable: changed" in told
    assert "dataset.path" not in told  # dataset.name says it all


def test_no_sentence_is_wider_than_a_terminal(desk):
    lines = [line for told in desk.told.values() for line in told.out.splitlines()]
    assert all(len(line.rstrip()) <= 80 for line in lines if line.startswith(" "))


def test_the_vocabulary_is_saved_for_people(desk):
    text = (desk.path / "zh" / "vocabulary.json").read_text("utf-8")
    assert "北" in text
    assert json.loads(text)["tokens"][0] == "<unk>"


def test_a_run_is_measured_again_to_the_same_numbers(desk):
    metrics = json.loads((desk.path / "lstm" / "result.json").read_text("utf-8"))["metrics"]
    assert desk("evaluate", "lstm").out == (
        f"val loss {metrics['val_loss']:.4f}  val perplexity {metrics['val_perplexity']:.4f}  "
        f"val bits per character {metrics['val_bits_per_character']:.4f}\n"
    )


def test_nothing_held_out_is_nothing_to_measure(desk):
    refused = desk("evaluate", "words", code=2)
    assert "nothing was held out" in refused.err
    assert "validation=holdout" in refused.err


OLD = ("status", "metrics", "epochs", "steps", "seconds", "dead")
CHANGES = {
    "its vocabulary": ENGLISH[::-1] * 20,  # as many tokens, which first appear in another order
    "its tokens": ENGLISH * 19 + "".join(sorted(ENGLISH)),  # and in the same order
}


@pytest.mark.parametrize(("what", "text"), CHANGES.items(), ids=CHANGES)
def test_a_text_that_changed_is_not_measured(desk, tmp_path, what, text):
    other = Desk(tmp_path)
    other("model=ngram", *SMALL[:3], "dataset.path=[en.txt]", "run.dir=run")
    (tmp_path / "en.txt").write_text(text, encoding="utf-8")
    assert "run holds a run on other data\n  en.txt: sha256 " in other("evaluate", "run", code=2).err
    assert "run holds a run on other data\n  en.txt: sha256 " in other("resume", "run", code=2).err
    for path in (tmp_path / "run" / ".data.json", tmp_path / "run" / "result.json"):  # as an earlier version left it
        path.write_text(json.dumps({key: each for key, each in json.loads(path.read_text()).items() if key in OLD}))
    assert f"en has changed since this run: {what}" in other("evaluate", "run", code=2).err


def test_counting_continues_chinese(desk):
    assert desk("generate", "zh", "prefix=北京", "length=7").out == "北京，今天天气很好\n"


def test_words_are_written_with_spaces(desk):
    written = desk("generate", "words", "prefix=the cat", "length=5").out
    assert written.startswith("the cat ")
    assert len(written.split()) == 7


def test_greedy_needs_no_seed_and_drawing_obeys_it(desk):
    def write(*words):
        return desk("generate", "lstm", "prefix=the", "length=60", *words).out

    assert write("seed=1") == write("seed=2") == write("temperature=3", "top_k=1", "seed=3")
    assert write("temperature=3", "seed=1") == write("temperature=3", "seed=1") != write("temperature=3", "seed=2")


def test_what_the_vocabulary_lacks_is_said_beside_the_text(desk):
    done = desk("generate", "lstm", "prefix=Zoé sat", "length=5")
    assert done.err == "not in the vocabulary, read as <unk>: 'Z' 'é'\n"
    assert done.out.startswith("Zoé sat")


def test_a_hostile_vocabulary_does_not_command_the_terminal(desk):
    file = desk.path / "zh" / "vocabulary.json"
    sound = file.read_text("utf-8")
    tokens = json.loads(sound)["tokens"]
    file.write_text(json.dumps({"tokens": [tokens[0], *(f"{token}\x1b[2J" for token in tokens[1:])]}), "utf-8")
    try:
        written = desk("generate", "zh", "prefix=北", "length=5").out
    finally:
        file.write_text(sound, "utf-8")
    assert "\x1b" not in written and written.count("\\x1b[2J") == 5


def test_generating_needs_neither_the_text_nor_a_prefix(desk):
    text = desk.path / "en.txt"
    away = text.rename(desk.path / "away.txt")
    try:
        assert len(desk("generate", "lstm", "length=5").out) == 1 + 5 + 1
    finally:
        away.rename(text)


ODD = {
    "length=0": "length=0: wanted a whole number at least 1",
    "length=": "length=: wanted",
    f"length={'9' * 5000}": "at most 1,000,000,000,000,000,000",
    "temperature=-1": "temperature=-1: wanted a number at least 0",
    "temperature=nan": "temperature=nan",
    "top_k=0": "top_k=0: wanted a whole number at least 1",
    "seed=-1": "seed=-1",
    f"seed={2**70}": "at most 1,000,000,000,000,000,000",
    "prefx=a": "did you mean prefix?",
}


@pytest.mark.parametrize(("word", "told"), ODD.items(), ids=[word[:15] for word in ODD])
def test_an_odd_option_is_refused(desk, word, told):
    assert told in desk("generate", "lstm", word, code=2).err


def test_a_bidirectional_model_says_why_it_does_not_write(desk):
    assert "predicts each token from the tokens before and after it" in desk("generate", "bi", code=2).err
    assert not (desk.path / "bi" / "samples.txt").exists()


def test_a_language_model_does_not_classify(desk):
    refused = desk("predict", "lstm", code=2)
    assert "lstm is the run of a language model: there is no predict for it" in refused.err
    assert "d2lrun generate lstm" in refused.err


def test_a_text_is_counted_and_drawn(desk):
    told = desk("data", "dataset=text", "dataset.path=[zh.txt]").out
    assert "40, 0 of them empty" in told
    assert "; all are used" in told
    assert (desk.path / "outputs" / "data" / "zh.png").read_bytes().startswith(b"\x89PNG")


def test_a_text_that_cleaning_empties_is_refused_with_the_rule_that_keeps_it(desk):
    refused = desk("data", "dataset=text", "dataset.path=[zh.txt]", "dataset.rule=letters", code=2)
    assert "no token is left" in refused.err
    assert "dataset.rule=none" in refused.err


def test_pydoc_trains_with_nothing_to_download(desk):
    told = desk("model=ngram", "dataset=pydoc", "dataset.max_tokens=5000", "run.dir=pydoc").out
    assert told.startswith("ngram on pydoc")


def test_a_network_for_images_refuses_text(desk):
    assert "holds text, the network takes images" in desk("model=mlp", "dataset=pydoc", code=2).err


@pytest.mark.parametrize("words", [("data", "dataset=timemachine"), ("model=rnn", "run.dir=offline")], ids=str)
def test_offline_the_time_machine_names_another_text(desk, words):
    refused = desk(*words, "dataset.mirrors=[]", code=2)
    assert "no good timemachine.txt" in refused.err
    assert "dataset=pydoc" in refused.err


def test_text_flows_as_it_is_written(desk):
    """A pipe has the first words while the last are still to be found."""
    command = [sys.executable, "-m", "d2lrun", "generate", "lstm", "prefix=the cat", f"length={10**9}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=desk.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        assert p.stdout.read(20).startswith(b"the cat")
        p.stdout.close()  # as head does
        assert (p.wait(), p.stderr.read()) == (0, b"")
