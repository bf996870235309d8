"""What `make lint` checks of the tasks with mypy: each class and module has all that its protocol asks."""

from __future__ import annotations

from d2lrun.tasks import View
from d2lrun.tasks.classification import images
from d2lrun.tasks.classification import task as classification
from d2lrun.tasks.classification import view as classification_view
from d2lrun.tasks.language_model import stream
from d2lrun.tasks.language_model import task as language_model
from d2lrun.tasks.language_model import view as language_model_view
from d2lrun.tasks.regression import table
from d2lrun.tasks.regression import task as regression
from d2lrun.tasks.regression import view as regression_view
from d2lrun.tasks.translation import pairs
from d2lrun.tasks.translation import task as translation
from d2lrun.tasks.translation import view as translation_view
from d2lrun.training.task import Dataset, Subset, Task

TASKS: dict[str, type[Task]] = {
    "classification": classification.Classification,
    "language_model": language_model.LanguageModel,
    "regression": regression.Regression,
    "translation": translation.Translating,
}
VIEWS: dict[str, View] = {
    "classification": classification_view,
    "language_model": language_model_view,
    "regression": regression_view,
    "translation": translation_view,
}
DATASETS: list[type[Dataset]] = [images.ImageDataset, stream.TextDataset, table.TableDataset, pairs.PairDataset]
SUBSETS: list[type[Subset]] = [images.ImageSubset, stream.TextSubset, table.TableSubset, pairs.PairSubset]
