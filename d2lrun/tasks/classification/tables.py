"""The images of each class, and the predictions of many pictures, on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from d2lrun.report.classes import show_classes, show_sizes
from d2lrun.report.tables import grid, pairs, show, words
from d2lrun.report.text import counted, say, size

if TYPE_CHECKING:
    from rich.console import Console

    from d2lrun.tasks.classification.images import ImageDataset
    from d2lrun.tasks.classification.many import Guess

NAMED = 10  # most files in a message


def show_counts(console: Console, dataset: ImageDataset) -> None:
    """Print the number of images of each class: uint8 images [N, C, H, W], labels [N]."""
    channels, height, width = dataset.train_images.shape[1:]
    show_sizes(console, dataset.name, dataset.classes, dataset.train_labels, dataset.test_labels)
    total = dataset.train_images.nbytes + dataset.test_images.nbytes
    images = f"{height}×{width}, {counted(channels, 'channel')} of 8 bits"
    console.print(pairs(console, [("images", images), ("memory", size(total))]))
    say(console, f" from        {dataset.source}")


class Count:
    """A context manager with a bar of the pictures that are predicted; without a terminal, it shows nothing."""

    def __init__(self, console: Console):
        self.console = console
        self.bar: Any = None

    def __enter__(self) -> Count:
        if self.console.is_interactive:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

            self.bar = Progress(
                MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), console=self.console, transient=True
            )
            self.bar.start()
            self.bar.add_task("", total=None)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` pictures of ``total`` are predicted."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done, total=total)


def show_many(
    console: Console, classes: Sequence[str], known: Sequence[Guess], unread: Sequence[str], inverted: int
) -> None:
    """Print the accuracy by the folders, if any is named as a class, or else the number of pictures of each class."""
    from d2lrun.tasks.classification.many import confusion

    if unread:
        say(console, f" left out {counted(len(unread), 'file')} that cannot be read as a picture:")
        for reason in unread[:NAMED]:
            say(console, f"  {reason}")
        if len(unread) > NAMED:
            say(console, f"  and {len(unread) - NAMED:,} more")
    if inverted:
        say(console, f" inverted {counted(inverted, 'picture')}")
    labelled = sum(guess.label is not None for guess in known)
    if labelled:
        show_classes(console, classes, confusion(known, classes))
        if labelled < len(known):
            say(console, f" {counted(len(known) - labelled, 'picture')} in no folder that is named as a class")
        return
    table = grid("class", "pictures")
    for name, count in Counter(guess.name for guess in known).most_common():
        table.add_row(words(console, name), f"{count:,}")
    show(console, table)
