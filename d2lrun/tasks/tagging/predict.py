"""Tag sentences with a trained network. n words of all sentences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from d2lrun.config.keys import Config
from d2lrun.disk.rundir import RunDirectory
from d2lrun.tasks.tagging.sentences import TaggedSubset, network_inputs, spelled
from d2lrun.tasks.tagging.task import predicted
from d2lrun.text import record
from d2lrun.text.vocabulary import Vocabulary
from d2lrun.training.trained import trained


@torch.inference_mode()
def predictions(model: nn.Module, part: TaggedSubset, size: int) -> Tensor:
    """Return the predicted tags [n] of all words of ``part``, in stored order, on the CPU; batches of ``size``."""
    model.eval()
    tags: dict[int, Tensor] = {}
    for chain in part.ordered(size):
        for batch in chain:
            rows = predicted(model(part.load(batch)[0])).cpu()  # [B, T]
            tags |= {int(index): row[: part.lengths[index]] for index, row in zip(batch, rows, strict=True)}
    return torch.cat([tags[index] for index in part.index.tolist()])


def tag_sentences(
    directory: RunDirectory, config: Config, sentences: Sequence[Sequence[str]]
) -> tuple[list[list[str]], list[str]]:
    """Return the tags of each sentence, and the words that the run does not know; needs only the run's files."""
    characters = config.dataset.characters
    names = ("tokens", "tags", *(["characters"] if characters else []))
    tokens, tags, *more = record.read(directory, *names)
    vocabulary, alphabet = Vocabulary(tokens), Vocabulary(more[0] if more else [])
    model = trained(directory, config, network_inputs(tokens, alphabet.tokens, characters), len(tags))
    device = next(model.parameters()).device
    found = []
    for words in sentences:
        given = spelled(words, vocabulary, alphabet, characters).unsqueeze(0).to(device)  # [1, T, 1 + C]
        with torch.inference_mode():
            logits = model.eval()(given if characters else given[:, :, 0])
        found.append([tags[index] for index in predicted(logits)[0].tolist()])
    return found, vocabulary.unknown(word for words in sentences for word in words)
