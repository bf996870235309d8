"""What `make lint` checks of the tasks with mypy: each class and module has all that its protocol asks."""

from __future__ import annotations

from d2lrun.tasks import View
from d2lrun.tasks.classification import images
from d2lrun.tasks.classification import task as classification
from d2lrun.tasks.classification import view as classification_view
from d2lrun.tasks.forecasting import series
from d2lrun.tasks.forecasting import task as forecasting
from d2lrun.tasks.forecasting import view as forecasting_view
from d2lrun.tasks.language_model import stream
from d2lrun.tasks.language_model import task as language_model
from d2lrun.tasks.language_model import view as language_model_view
from d2lrun.tasks.tabular import table
from d2lrun.tasks.tabular import task as tabular
from d2lrun.tasks.tabular import view as tabular_view
from d2lrun.tasks.tagging import sentences
from d2lrun.tasks.tagging import task as tagging
from d2lrun.tasks.tagging import view as tagging_view
from d2lrun.tasks.text_classification import task as text_classification
from d2lrun.tasks.text_classification import texts
from d2lrun.tasks.text_classification import view as text_classification_view
from d2lrun.tasks.translation import pairs
from d2lrun.tasks.translation import task as translation
from d2lrun.tasks.translation import view as translation_view
from d2lrun.training.task import Dataset, Subset, Task

TASKS: dict[str, type[Task]] = {
    "classification": classification.Classification,
    "forecasting": forecasting.Forecasting,
    "language_model": language_model.LanguageModel,
    "tabular": tabular.Regression,
    "tabular, of classes": tabular.RowClassification,
    "tagging": tagging.Tagging,
    "translation": translation.Translating,
    "text_classification": text_classification.TextClassification,
}
VIEWS: dict[str, View] = {
    "classification": classification_view,
    "forecasting": forecasting_view,
    "language_model": language_model_view,
    "tabular": tabular_view,
    "tagging": tagging_view,
    "text_classification": text_classification_view,
    "translation": translation_view,
}
DATASETS: list[type[Dataset]] = [
    images.ImageDataset,
    pairs.PairDataset,
    sentences.TaggedDataset,
    series.SeriesDataset,
    stream.TextDataset,
    table.TableDataset,
    texts.LabelledTexts,
]
SUBSETS: list[type[Subset]] = [
    images.ImageSubset,
    pairs.PairSubset,
    sentences.TaggedSubset,
    series.SeriesSubset,
    stream.TextSubset,
    table.TableSubset,
    texts.LabelledSubset,
]
