"""What ``d2lrun predict RUN`` computes, without its tables."""

from __future__ import annotations

from d2lrun.runs import inference
from d2lrun.tasks.classification import predict


def predict_files(directory, paths, top, invert):
    """(path, remark, [(class, probability)…]) of each image file."""
    config, data, model = inference.load(directory)
    images = [predict.stored(path, data.preparation, invert) for path in paths]
    rows = predict.predict_images(model, data.classes, data.preparation, config.train.batch_size, images, top)
    return [(path, *row) for path, row in zip(paths, rows, strict=True)]


def predict_test(directory):
    """The confusion counts [true, predicted] of the test set, and the csv of all predictions."""
    config, data, model = inference.load(directory)
    path = directory.path / "predictions.csv"
    return predict.predict_test(data, model, config.train.batch_size, path), path
