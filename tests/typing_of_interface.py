"""What `make lint` checks of the public interface with mypy: the examples of docs/python.md have types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from torch import Tensor, nn

import d2lrun


def runs(run: d2lrun.Run) -> tuple[float, Path, nn.Module, str, list[d2lrun.Run]]:
    longer: d2lrun.Run = d2lrun.resume(run, epochs=3)
    d2lrun.compare([run, longer, "outputs", Path("outputs")], sort="test_accuracy")
    d2lrun.compare(run)
    metrics: dict[str, float] = run.evaluate()
    return metrics["test_loss"], run.directory, run.model, run.status, run.folds


def many() -> tuple[d2lrun.Run | None, d2lrun.Data, nn.Module]:
    sweep: d2lrun.Sweep = d2lrun.sweep(model=["softmax", "mlp"], optimizer__lr=[0.05, 0.1])
    return sweep.best, d2lrun.data("dataset=digits"), d2lrun.build("model=resnet", dataset={"resize": 32})


def predicted(found: d2lrun.Classes) -> tuple[list[str], Tensor, tuple[str, ...]]:
    return found.labels, found.probabilities, found.classes


def refused(refusal: d2lrun.Refused) -> list[tuple[str, str, str]]:
    return [(complaint.given, complaint.wanted, complaint.fix) for complaint in refusal.complaints]


def fitted(X: np.ndarray) -> np.ndarray:
    return d2lrun.Classifier("softmax", epochs=10).fit(X, [0, 1]).predict_proba(X)


def own_code() -> tuple[nn.Module, dict[str, int]]:
    @d2lrun.model("typed-net")
    class Net(nn.Linear):
        def __init__(self, classes: int, width: Annotated[int, d2lrun.Between(1, 9), "a help"] = 8) -> None:
            super().__init__(width, classes)

    @d2lrun.dataset("typed-data", task="tabular")
    def rows(n: int = 4) -> dict[str, int]:
        return {"n": n}

    return Net(2), rows(3)  # a decorator keeps the type
