"""Values in memory, in the forms that people have, as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from d2lrun.errors import Refused


def array(values: Any, what: str, wanted: str) -> np.ndarray:
    """Return an array, a tensor of any type on any device, a list of them, or a column of a DataFrame, as an array.

    Its memory is in order, in the machine's byte order and may be written to, as torch needs it. A masked value is
    None. Raises Refused; ``what`` is the beginning of its message.
    """
    try:
        if isinstance(values, (list, tuple)) and any(hasattr(each, "detach") for each in values):
            values = [array(each, what, wanted) for each in values]
        elif hasattr(values, "detach"):
            dense = values.detach().cpu().to_dense()
            values = dense.float() if dense.is_floating_point() and dense.element_size() < 4 else dense  # bfloat16
        elif np.ma.is_masked(values):
            mask, values = np.ma.getmaskarray(values), np.ma.getdata(values).astype(object)
            values[mask] = None
        found = np.asarray(values)
        found = found.copy() if min(found.strides, default=0) < 0 else found  # also of a side of length 1
        return np.require(found, found.dtype.newbyteorder("="), ["C", "W"])
    except Refused:
        raise
    except Exception as error:  # the code of the user's object is run: it can raise anything
        raise Refused(f"{what}: no array: {error}", f"give {wanted}") from error
