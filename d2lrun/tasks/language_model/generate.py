"""Generate text with a language model (book 8.5.6): greedily, or by sampling from its probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.config.keys import Config
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.models.inputs import Stream
from d2lrun.tasks.language_model import vocabulary
from d2lrun.text.corpus import prefix_tokens
from d2lrun.training.trained import trained


def generate(
    model: nn.Module,
    prefix: Sequence[int],
    length: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """Yield ``length`` tokens that the model generates after ``prefix``, one by one.

    At ``temperature`` 0, each token is the most probable one, as in the book. Above 0, tokens are drawn from
    softmax(logits / temperature), only from the ``top_k`` most probable if given: a pure function of the weights,
    the arguments and the seed. Raises Refused at once for a bidirectional model or an empty prefix.
    """
    if getattr(model, "bidirectional", False):
        raise Refused(
            "a bidirectional model cannot generate text: it predicts each token from the tokens before and after it, "
            "and after the last there are none",
            "train one with model.bidirectional=false",
        )
    if not prefix:
        raise Refused("nothing to begin with: the prefix is empty", "prefix='time traveller'")
    return continued(model, list(prefix), length, temperature, top_k, seed)


def continued(
    model: nn.Module, fed: list[int], length: int, temperature: float, top_k: int | None, seed: int
) -> Iterator[int]:
    """Yield the generated tokens: feed the prefix in one call, then feed back each chosen token."""
    generator = torch.Generator().manual_seed(seed)
    state = None
    for _ in range(length):
        logits, state = step(model, fed, state)
        token = choose(logits, temperature, top_k, generator)
        yield token
        fed = [token]


@torch.inference_mode()
def step(model: nn.Module, tokens: list[int], state: Any) -> tuple[Tensor, Any]:
    """Return the logits [V] of the token after ``tokens``, on the CPU, and the state; keep the model's mode."""
    device = next((parameter.device for parameter in model.parameters()), None)
    training = model.training
    model.eval()
    try:
        logits, state = model(torch.tensor([tokens], device=device), state)  # [1, T, V]
    finally:
        model.train(training)
    return logits[0, -1].cpu(), state


def choose(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """Choose one of V tokens by their logits [V]; a tie goes to the lower index."""
    best, tokens = logits.double().sort(descending=True, stable=True)
    if temperature == 0:
        return int(tokens[0])
    probabilities = ((best[:top_k] - best[0]) / temperature).softmax(dim=0)
    return int(tokens[probabilities.multinomial(1, generator=generator)])


def continue_text(
    directory: RunDirectory,
    config: Config,
    prefix: str,
    length: int,
    temperature: float,
    top_k: int | None,
    seed: int,
) -> tuple[list[str], Iterator[str]]:
    """Return the unknown tokens of the prefix, and an iterator of the pieces of the text, beginning with the prefix.

    If the prefix is empty, the prefix of the run's dataset is used. Needs only the run's files, not its data.
    """
    known = vocabulary.read(directory)
    tokens = prefix_tokens(prefix or config.dataset.prefix or "", config.dataset.kind, config.dataset.rule)
    tokens = tokens or [known.tokens[-1 if len(known) == 1 else 1]]  # the most frequent token
    model = trained(directory, config, Stream(config.dataset.steps), len(known))
    ids = generate(model, known.encode(tokens), length, temperature=temperature, top_k=top_k, seed=seed)
    gap = " " if config.dataset.kind == "word" else ""

    def pieces() -> Iterator[str]:
        yield gap.join(tokens)
        for index in ids:
            yield gap + known.tokens[index]

    return known.unknown(tokens), pieces()
