"""Fields of annotations as columns, by which lesions are grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def lesion_attributes(annotations: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Return the fields of annotations that hold strings or numbers.

    Args:
        annotations (Sequence[Mapping]): Of m lesions.

    Returns:
        dict[str, ndarray]: Name to (m,) object; None where an annotation lacks the field. Fields
        that no annotation has, and those with a list or the like anywhere, are left out.
    """
    names = dict.fromkeys(name for annotation in annotations for name in annotation)
    columns = {name: [annotation.get(name) for annotation in annotations] for name in names}
    return {
        name: np.array(values, dtype=object)
        for name, values in columns.items()
        if _is_attribute(values)
    }


def _is_attribute(values):
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (str, int, float)) for value in present)
