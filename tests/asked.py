"""What ``d2lrun predict RUN`` computes, without its tables."""

from __future__ import annotations

from d2lrun.runs import inference
from d2lrun.tasks.classification import predict
from d2lrun.tasks.classification.photos import read_image


def predict_files(directory, paths, top, invert):
    """(path, remark, [(class, probability)…]) of each image file."""
    pixels = [read_image(path) for path in paths]
    config, data, model = inference.load(directory)
    size = config.train.batch_size
    rows = predict.predict_images(model, data.classes, data.preparation, size, pixels, top, invert)
    return [(path, *row) for path, row in zip(paths, rows, strict=True)]


def predict_test(directory):
    """The confusion counts [true, predicted] of the test set, and the csv of all predictions."""
    config, data, model = inference.load(directory)
    path = directory.path / "predictions.csv"
    return predict.predict_test(data, model, config.train.batch_size, path), path
