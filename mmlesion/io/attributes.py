"""Fields of annotations as columns, by which lesions are grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np


def lesion_attributes(annotations: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Return the fields of annotations that hold strings or numbers.

    Args:
        annotations: Of m lesions.

    Returns:
        dict[str, ndarray]: Name to (m,) object; None where an annotation lacks the field. Fields
        that no annotation has, and those with a list or the like anywhere, are left out.
    """
    names = dict.fromkeys(chain.from_iterable(annotations))
    attributes = {}
    for name in names:
        values = [annotation.get(name) for annotation in annotations]
        if _is_attribute(values):
            attributes[name] = np.array(values, dtype=object)
    return attributes


def _is_attribute(values: Sequence) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (str, int, float)) for value in present)
