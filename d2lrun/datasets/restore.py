"""English text without capitals and marks, which are to be put back: The Time Machine, or the user's own files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from d2lrun.counts import counted
from d2lrun.datasets import timemachine
from d2lrun.disk.content import Content
from d2lrun.disk.locate import Progress, Say
from d2lrun.disk.texts import joined, names, read_files
from d2lrun.errors import Refused
from d2lrun.tasks.tagging.formats import Sentence
from d2lrun.tasks.tagging.sentences import TaggedDataset, build
from d2lrun.tasks.tagging.styles import RESTORED, stripped

FIFTH = 5  # one passage in so many is of the test part


def load(
    path: Sequence[str],
    encoding: str,
    dir: str | None,
    mirrors: Sequence[str],
    steps: int,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> TaggedDataset:
    """Return the dataset on the CPU; raises Refused.

    An example is a passage of ``steps`` words: a sentence as an example would give away its first capital and its last
    mark. Every fifth passage is of the test part.
    """
    if path and dir:
        hint = "dataset.dir is the folder of timemachine.txt, dataset.path your own files"
        raise Refused("dataset.path and dataset.dir: wanted one of them", hint)
    if path:
        found = read_files("restore", path, encoding)
        whole, source = joined(found, encoding), names(found)
        contents = [Content(file.origin, file.sha256) for file in found]
    else:
        whole, source = timemachine.read(dir, mirrors, say, progress)
        contents = [Content(source, timemachine.FILES.sums[timemachine.FILE])]
    passages = list(cut(*stripped(whole), steps))
    if len(passages) < FIFTH:
        hint = "give a longer text, or a smaller dataset.steps"
        raise Refused(
            f"{source}: {counted(len(passages), 'passage')} of {counted(steps, 'word')}, wanted at least {FIFTH}", hint
        )
    test = passages[FIFTH - 1 :: FIFTH]
    train = [passage for place, passage in enumerate(passages) if place % FIFTH != FIFTH - 1]
    return build("restore", train, test, source, contents, RESTORED)


def cut(words: Sequence[str], tags: Sequence[str], steps: int) -> Iterator[Sentence]:
    """Yield passages of ``steps`` words with their tags; the last may be shorter."""
    for start in range(0, len(words), steps):
        yield list(words[start : start + steps]), list(tags[start : start + steps])
