"""vocabulary.json: what is kept of a text, and how another text is told from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.tasks.language_model import vocabulary
from d2lrun.tasks.language_model.build import build

PREPARATION = {"kind": "char", "rule": "none", "min_freq": 0, "reserved": [], "max_tokens": None}


@pytest.fixture
def data():
    return build("text", "abcabd", "here", **PREPARATION)  # <unk> a b c d


@pytest.fixture
def begun(tmp_path, data):
    """A run that saved something, of ``data``."""
    directory = RunDirectory(tmp_path)
    vocabulary.keep(data, directory, print)
    directory.checkpoints.mkdir()
    return directory


def other(data, tokens):
    return replace(data, tokens=torch.tensor(tokens, dtype=torch.int32))


def test_the_proof_is_the_sha256_of_four_bytes_a_token(begun):
    plain = b"".join(token.to_bytes(4, "little") for token in (1, 2, 3, 1, 2, 4))
    kept = json.loads(begun.vocabulary_file.read_text("utf-8"))
    assert kept == {"tokens": ["<unk>", "a", "b", "c", "d"], "sha256": hashlib.sha256(plain).hexdigest()}
    assert vocabulary.read(begun).tokens == kept["tokens"]


def test_the_same_text_goes_on(begun, data):
    before = begun.vocabulary_file.read_bytes()
    vocabulary.keep(data, begun, print)
    assert begun.vocabulary_file.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (lambda data: other(data, [1, 2, 3, 2, 1, 4]), "its tokens no longer have the sha256"),
        (lambda data: other(data, [1, 2, 3, 1, 2]), "its tokens no longer have the sha256"),
        (lambda data: build("text", "abdabc", "here", **PREPARATION), "its vocabulary is no longer"),  # the same tokens
    ],
    ids=["order", "end", "names"],
)
def test_another_text_is_refused_and_nothing_overwritten(begun, data, changed, what):
    before = begun.vocabulary_file.read_bytes()
    with pytest.raises(Refused, match=what) as caught:
        vocabulary.keep(changed(data), begun, print)
    assert "restore the text as it was" in caught.value.hint
    assert begun.vocabulary_file.read_bytes() == before


def test_before_the_first_checkpoint_another_text_is_free(begun, data):
    begun.checkpoints.rmdir()
    changed = other(data, [1, 1, 1])
    vocabulary.keep(changed, begun, print)
    vocabulary.refuse_other(changed, begun)


def test_a_run_that_kept_no_sha256_is_known_by_its_vocabulary(begun, data):
    begun.vocabulary_file.write_text(json.dumps({"tokens": data.vocabulary.tokens}), encoding="utf-8")
    vocabulary.refuse_other(other(data, [1, 2]), begun)
    with pytest.raises(Refused):
        vocabulary.refuse_other(build("text", "xyz", "here", **PREPARATION), begun)


@pytest.mark.parametrize(
    "content", ['{"tokens": ["<unk>"], "sha256": 7}', "[" * 100_000, "{}"], ids=["7", "deep", "{}"]
)
def test_a_damaged_file_is_refused_by_a_reader_and_written_anew_by_the_run(begun, data, content):
    begun.vocabulary_file.write_text(content, encoding="utf-8")
    with pytest.raises(Refused, match="is damaged"):
        vocabulary.read(begun)
    said = []
    vocabulary.keep(data, begun, said.append)
    assert len(said) == 1 and "is damaged" in said[0]
    assert vocabulary.read(begun) == data.vocabulary
