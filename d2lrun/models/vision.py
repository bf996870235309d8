"""torchvision, imported where it can be: ``from d2lrun.vision import torchvision``.

The wheel on PyPI is built against torch with CUDA. Beside a torch without it its compiled operators do not
load, and the import fails on the two of them that are described to torch.compile. Once they are declared, all
that needs no compiled operator works: datasets, transforms, networks.
"""

from __future__ import annotations

import torch

try:
    import torchvision
except RuntimeError:
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["torchvision"]
