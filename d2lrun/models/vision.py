"""Import torchvision by ``from d2lrun.models.vision import torchvision``.

The wheel on PyPI is built for torch with CUDA. With a torch without CUDA its compiled operators do not load, and the
import fails at the two operators that torchvision registers for torch.compile. This file declares them first. Then
everything without compiled operators works: datasets, transforms, networks.
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
