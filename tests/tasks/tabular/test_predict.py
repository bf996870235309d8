from __future__ import annotations

import torch
from torch import nn

from d2lrun.tasks.tabular.predict import predictions


def test_predictions_are_those_of_the_model_without_dropout():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.Linear(16, 1)).train()
    features = torch.rand(10, 3)
    found = predictions(model, features, 4)
    torch.testing.assert_close(found, model.eval()(features)[:, 0].detach())
