from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.errors import Refused
from d2lrun.tasks.language_model.build import build
from d2lrun.tasks.language_model.stream import (
    SAMPLINGS,
    TextSubset,
    at,
    cut,
    needed,
    random_starts,
    sequential_starts,
    starts,
)
from d2lrun.text.corpus import untokenise

TEXT = "The Time-Traveller (for so it will be\nconvenient to speak of him)\n\nwas expounding a recondite matter.\n"
PREPARATION = {
    **{"kind": "char", "rule": "letters", "min_freq": 0, "reserved": []},
    "max_tokens": None,
}


def dataset(text=TEXT, **changes):
    return build("text", text, "here", **{**PREPARATION, **changes})


def test_no_line_is_kept_apart_from_the_next_in_characters():
    data = dataset()
    text = untokenise(data.vocabulary.decode(data.tokens.tolist()), "char")
    assert text == "the time traveller for so it will beconvenient to speak of himwas expounding a recondite matter"


@pytest.mark.parametrize("rule", ["none", "lower"])
def test_without_the_letters_rule_lines_keep_their_ends(rule):
    data = dataset(rule=rule)
    assert "".join(data.vocabulary.decode(data.tokens.tolist())) == (TEXT if rule == "none" else TEXT.lower())


def test_the_vocabulary_is_that_of_the_whole_text_and_the_tokens_its_first():
    whole, first = dataset(), dataset(max_tokens=10)
    assert first.vocabulary == whole.vocabulary
    assert first.tokens.tolist() == whole.tokens[:10].tolist()


def test_rare_tokens_are_unknown():
    data = dataset("aab aab cb a", kind="word", rule="none", min_freq=2)
    assert data.vocabulary.tokens == ["<unk>", "aab"]
    assert data.tokens.tolist() == [1, 1, 0, 0]


def test_four_bytes_a_token_are_kept():
    data = dataset(max_tokens=20)
    assert data.tokens.dtype == torch.int32
    assert data.tokens.untyped_storage().nbytes() == 4 * 20


@pytest.mark.parametrize("kind", ["char", "word"])
def test_a_text_of_which_cleaning_leaves_nothing_is_refused(kind):
    with pytest.raises(Refused, match="here: no token is left") as caught:
        dataset("时间旅行者 1895\n", kind=kind)
    assert "dataset.rule=none" in caught.value.hint
    assert len(dataset("时间旅行者 1895\n", kind=kind, rule="none").tokens) == {"char": 11, "word": 2}[kind]


def test_to_moves_the_tokens():
    moved = dataset().to("meta")
    assert moved.tokens.device.type == "meta"
    assert (moved.source, moved.steps) == ("here", 35)


# --- batches -------------------------------------------------------------------------------------------------

sizes = {"count": st.integers(0, 200), "batch": st.integers(1, 6), "steps": st.integers(1, 12)}


def plain_windows(stream, steps):
    """Inputs and labels side by side, as long as there is a label for each input."""
    pairs = list(pairwise(stream))
    while len(pairs) >= steps:
        yield pairs[:steps]
        del pairs[:steps]


def read(stream, batches, steps):
    """For each batch, for each row, the pairs of input and label that ``starts`` and ``at`` make."""
    tokens = torch.tensor(stream, dtype=torch.int32)
    for rows in batches:
        inputs, labels = at(tokens, rows, steps)
        assert inputs.dtype == labels.dtype == torch.int64
        assert inputs.shape == labels.shape == (len(rows), steps)
        yield [list(zip(*row)) for row in zip(inputs.tolist(), labels.tolist())]


def test_the_fixture_of_35_numbers_in_sequence():
    stream = list(range(35))
    batches = [at(torch.tensor(stream), rows, 5) for rows in sequential_starts(35, 2, 5, offset=0)]
    assert [inputs[:, [0, -1]].tolist() for inputs, _ in batches] == [
        [[0, 4], [17, 21]],
        [[5, 9], [22, 26]],
        [[10, 14], [27, 31]],
    ]
    assert all(torch.equal(labels, inputs + 1) for inputs, labels in batches)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_fixture_of_35_numbers_gives_three_batches_or_two(sampling):
    offsets = {int(min(map(min, starts(35, 2, 5, sampling, 0, epoch)))) for epoch in range(50)}
    assert len(offsets) > 3
    assert {len(starts(35, 2, 5, sampling, 0, epoch)) for epoch in range(50)} <= {2, 3}
    assert len(random_starts(35, 2, 5, 0, np.random.default_rng(0))) == 3


@given(**sizes, offset=st.integers(0, 12))
def test_sequential_rows_are_equal_parts_of_the_stream_cut_into_windows(count, batch, steps, offset):
    stream = random.Random(0).choices(range(1000), k=count)
    left = stream[offset:]
    length = (len(left) - 1) // batch if left else 0
    rows = [list(plain_windows(left[row * length : (row + 1) * length + 1], steps)) for row in range(batch)]
    got = list(read(stream, sequential_starts(count, batch, steps, offset), steps))
    assert got == [list(windows) for windows in zip(*rows)]


@given(**sizes, offset=st.integers(0, 11), seed=st.integers(0, 2**32 - 1))
def test_random_batches_are_windows_side_by_side_each_once_in_any_order(count, batch, steps, offset, seed):
    stream = list(range(count))  # all different, so that a window says where it is from
    wanted = list(plain_windows(stream[offset:], steps))
    generator = np.random.default_rng(seed)
    got = list(read(stream, random_starts(count, batch, steps, offset, generator), steps))
    assert len(got) == len(wanted) // batch
    used = [tuple(window) for rows in got for window in rows]
    assert len(used) == len(set(used)) == len(got) * batch
    assert set(used) <= set(map(tuple, wanted))


@pytest.mark.parametrize(("sampling", "last"), [("random", 4), ("sequential", 5)])
def test_every_offset_of_the_book_is_drawn(sampling, last):
    drawn = Counter(int(torch.stack(starts(400, 2, 5, sampling, 7, epoch)).min()) for epoch in range(600))
    if sampling == "random":  # the first window may be in the part that fills no batch
        drawn = Counter({offset % 5: 1 for offset in drawn})
    assert set(drawn) == set(range(last + 1))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_ten_thousand_characters_make_eight_batches_from_every_offset(sampling):
    assert {len(starts(10_000, 32, 35, sampling, 0, epoch)) for epoch in range(200)} == {8}


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_batches_are_a_pure_function_of_seed_and_epoch(sampling):
    def drawn(seed, epoch):
        return torch.stack(starts(1000, 4, 9, sampling, seed, epoch)).tolist()

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    kept = {(seed, epoch): drawn(seed, epoch) for seed in range(3) for epoch in range(20)}
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(before[0], torch.get_rng_state())
    assert {key: drawn(*key) for key in reversed(kept)} == kept
    assert len({str([kept[seed, epoch] for epoch in range(20)]) for seed in range(3)}) == 3
    assert [kept[0, epoch + 1] for epoch in range(19)] != [kept[1, epoch] for epoch in range(19)]  # no shifted copy
    assert len({str(kept[0, epoch]) for epoch in range(20)}) > (5 if sampling == "sequential" else 19)


@given(st.integers(1, 6), st.integers(1, 12), st.sampled_from(SAMPLINGS))
def test_needed_is_the_shortest_stream_that_has_a_batch_from_every_offset(batch, steps, sampling):
    def fewest(count):
        if sampling == "sequential":
            return min(len(sequential_starts(count, batch, steps, offset)) for offset in range(steps + 1))
        generator = np.random.default_rng(0)
        return min(len(random_starts(count, batch, steps, offset, generator)) for offset in range(steps))

    shortest = needed(batch, steps, sampling)
    assert (fewest(shortest - 1), fewest(shortest)) == (0, 1)


@given(st.integers(0, 300), st.floats(0.01, 0.99))
def test_a_cut_is_two_parts_in_order_without_a_gap(count, fraction):
    [(start, middle)], [(begin, end)] = cut(count, fraction)
    assert (start, middle, end) == (0, begin, count)
    assert end - begin == round(count * fraction)


WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "ab", " ", "  ", "\n"]), min_size=30, max_size=80).map("".join)


@given(WORDS, st.floats(0.2, 0.8), st.sampled_from(["char", "word", "jieba"]))
def test_kinds_of_tokens_are_cut_at_the_same_character(text, fraction, kind):
    data = dataset(f"x{text}", kind=kind, rule="none")
    train, val = (data.part(*spans) for spans in cut(data.characters, fraction))
    assert torch.equal(torch.cat((train.tokens, val.tokens)), data.tokens)
    assert data.characters == len(text) + 1
    place = len(text) + 1 - round((len(text) + 1) * fraction)
    words = lambda text: untokenise(text, "char") if kind != "word" else text  # noqa: E731
    left = words(data.vocabulary.decode(train.tokens.tolist()))
    if kind == "char":
        assert left == f"x{text}"[:place]
    begun = f"x{text}"[:place].split()  # a word that begins before the cut is not cut in two
    if kind == "word":
        assert len(left) == len(begun) and all(whole.startswith(word) for whole, word in zip(left, begun, strict=True))


@given(WORDS, st.floats(0.2, 0.8))
def test_the_characters_of_two_kinds_of_tokens_have_one_fingerprint(text, fraction):
    parts = {}
    for kind in ("char", "word"):
        data = dataset(f"x{text} y z", kind=kind, rule="none")
        parts[kind] = data.part(*cut(data.characters, fraction)[1])
    char, word = parts.values()
    assert char.text_fingerprint == word.text_fingerprint
    assert char.fingerprint != word.fingerprint
    if word.size:
        assert 0 <= char.characters - word.characters <= len(text)


def test_a_text_with_unknown_tokens_is_not_the_same_text():
    whole, part = (dataset("aab aab cb a", kind="word", rule="none", min_freq=each).part((0, 12)) for each in (1, 2))
    assert whole.text_fingerprint != part.text_fingerprint


@given(st.integers(0, 120), st.integers(1, 6), st.integers(1, 12), st.sampled_from(SAMPLINGS))
def test_a_stream_is_refused_if_one_of_the_offsets_leaves_no_batch(count, batch, steps, sampling):
    def batches(offset):
        if sampling == "sequential":
            return sequential_starts(count, batch, steps, offset)
        return random_starts(count, batch, steps, offset, np.random.default_rng(0))

    part = TextSubset(torch.zeros(count, dtype=torch.int32), steps, sampling)
    if all(batches(offset) for offset in range(steps + (sampling == "sequential"))):
        part.refuse_if_short(batch)
    else:
        with pytest.raises(Refused, match=f"wanted {needed(batch, steps, sampling)}"):
            part.refuse_if_short(batch)


@given(st.integers(0, 120), st.integers(1, 40), st.integers(1, 30), st.sampled_from(SAMPLINGS))
def test_the_hint_of_a_short_stream_is_as_much_as_it_suffices_for(count, batch, steps, sampling):
    part = TextSubset(torch.zeros(count, dtype=torch.int32), steps, sampling)
    try:
        part.refuse_if_short(batch)
    except Refused as refusal:
        numbers = dict(re.findall(r"(batch_size|steps)=(\d+)", refusal.hint))
        if not numbers:
            assert count < needed(1, 1, sampling)
            return
        rows, longest = int(numbers["batch_size"]), int(numbers.get("steps", steps))
        TextSubset(part.tokens, longest, sampling).refuse_if_short(rows)
        with pytest.raises(Refused):
            TextSubset(part.tokens, longest + 1, sampling).refuse_if_short(rows + 1)


def test_a_short_stream_is_refused_with_what_is_needed():
    with pytest.raises(Refused) as caught:
        TextSubset(torch.zeros(40, dtype=torch.int32), 10, "sequential").refuse_if_short(3)
    assert str(caught.value) == "40 tokens, too few for a batch of 3 rows of 10: wanted 41"
    assert caught.value.hint == "train.batch_size=2, or a longer text"


def test_a_held_out_part_shorter_than_a_window_is_refused():
    data = dataset("abcdef" * 10, rule="none")  # 60 tokens, windows of 35
    assert data.parts(*cut(60, 0.6))[1].size == 36
    with pytest.raises(Refused) as caught:
        data.parts(*cut(60, 0.58))
    assert str(caught.value) == "35 tokens held out, too few for a window of 35: wanted 36"
    assert "dataset.steps" in caught.value.hint


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_no_window_sees_both_parts_of_a_cut(sampling):
    tokens = torch.arange(500, dtype=torch.int32)
    train, measured = (tokens[start:end] for [(start, end)] in cut(500, 0.3))

    def seen(part):
        batches = [rows for epoch in range(40) for rows in starts(len(part), 3, 7, sampling, 0, epoch)]
        return set(torch.cat([torch.cat(at(part, rows, 7)) for rows in batches]).flatten().tolist())

    assert max(seen(train)) < 350 <= min(seen(measured))
    assert not seen(train) & seen(measured)
