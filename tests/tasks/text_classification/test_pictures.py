"""The picture of a classification of texts: its words."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from d2lrun.tasks.text_classification.pictures import WORST, draw_mistakes
from d2lrun.tasks.text_classification.predict import Predictions


def test_the_surest_mistakes_are_written_with_their_texts_inside_the_panel():
    texts = [f"text {n}" for n in range(12)]
    certainty = torch.linspace(0.5, 0.9, 12)
    labels, predicted = torch.zeros(12, dtype=torch.int64), (torch.arange(12) % 6 > 0).long()
    found = Predictions(torch.arange(12), labels, predicted, certainty, ("bad", "good"), texts)
    axes = Figure().subplots()
    draw_mistakes(axes, found)
    written = [each.get_text() for each in axes.texts]
    sure = [n for n in range(11, -1, -1) if n % 6][:WORST]
    assert written[0] == "The surest of 10 mistakes: label → prediction"
    assert written[1:] == [part for n in sure for part in (f"bad → good {certainty[n]:.2f}", f"text {n}")]
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in (each.get_position() for each in axes.texts))
