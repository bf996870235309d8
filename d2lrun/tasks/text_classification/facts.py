"""What is counted of labelled texts: lengths, cut and empty texts, unknown tokens, texts in two parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from d2lrun.counts import counted
from d2lrun.tasks.text_classification.texts import EMPTY, LabelledTexts

PART = {"val": "the held-out part", "test": "the test part"}  # names of the measured parts in messages


@dataclass(frozen=True)
class Facts:
    """Counts of a dataset whose vocabulary is learned; ``steps`` is the most tokens of a text, if there is one."""

    texts: int
    steps: int | None
    cut: int  # texts that are longer
    empty: int  # texts without a token
    unknown: dict[str, float]  # share of the tokens of "train", "val" and "test" that are <unk>
    repeated: int  # training texts that equal an earlier one
    seen: dict[str, int]  # texts of "val" and "test" that are also training texts
    sizes: dict[str, int]  # texts of each part
    untrained: list[str]  # classes without a training text

    @property
    def remarks(self) -> list[str]:
        """Return a line for each special fact."""
        lines = []
        if self.cut:
            lines.append(f"{self.cut:,} of {counted(self.texts, 'text')} are cut after dataset.steps={self.steps}")
        if self.empty:
            lines.append(f"{counted(self.empty, 'text')} without a token: read as <unk>")
        for name, share in self.unknown.items():
            if name in PART and share:
                lines.append(f"{share:.1%} of the tokens of {PART[name]} are not in the vocabulary: read as <unk>")
        if self.untrained:
            lines.append(f"no training text has the class {', '.join(self.untrained)}: it is never predicted right")
        return [*lines, *([self.seen_before] if self.seen_before else [])]

    @property
    def seen_before(self) -> str:
        """Return the remark on measured texts that are also training texts; "" if there are none."""
        found = [f"{count:,} of {self.sizes[name]:,} in {PART[name]}" for name, count in self.seen.items() if count]
        return (
            f"texts that are also training texts: {', '.join(found)}; on new texts the accuracy is lower"
            if found
            else ""
        )


def facts_of(data: LabelledTexts) -> Facts:
    """Count a dataset after ``fitted``."""
    train = torch.arange(len(data.strata)) if data.learned is None else data.learned
    held_out = torch.ones(len(data.strata), dtype=torch.bool).index_fill_(0, train, False).nonzero()[:, 0]
    parts = {"train": ("train", train), "val": ("train", held_out), "test": ("test", torch.arange(data.sizes["test"]))}
    parts = {name: part for name, part in parts.items() if len(part[1])}
    texts = {name: [data.texts[pool][place] for place in index.tolist()] for name, (pool, index) in parts.items()}
    trained = set(texts["train"])
    lengths = torch.cat([raw.lengths for raw in data.raw.values()])
    labels = data.labels["train"].cpu()[train].bincount(minlength=data.outputs)
    return Facts(
        texts=len(lengths),
        steps=data.steps,
        cut=0 if data.steps is None else int((lengths > data.steps).sum()),
        empty=sum(int((raw.items == EMPTY).sum()) for raw in data.raw.values()),
        unknown={name: unknown(data, pool, index) for name, (pool, index) in parts.items()},
        repeated=len(texts["train"]) - len(trained),
        seen={name: sum(text in trained for text in texts[name]) for name in parts if name != "train"},
        sizes={name: len(part) for name, part in texts.items()},
        untrained=[data.classes[label] for label in (labels == 0).nonzero()[:, 0].tolist()],
    )


def unknown(data: LabelledTexts, pool: str, index: Tensor) -> float:
    """Return the share of the tokens of the texts ``index`` [n] that the vocabulary lacks."""
    tokens = data.tokens[pool]
    chosen = torch.zeros(len(tokens), dtype=torch.bool).index_fill_(0, index, True)
    found = tokens.items.cpu()[chosen.repeat_interleave(data.raw[pool].lengths)]
    return float((found == 0).double().mean())
