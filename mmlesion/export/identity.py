"""Who made a DICOM object, and identifiers that are the same for the same results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmlesion.io.json_files import to_json
from mmlesion.io.results import DetectedLesion, Results
from mmlesion.utils import UserError
from mmlesion.version import __version__

from .source_series import SourceSeries

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence

MANUFACTURER = 'mmlesion'


def require_highdicom() -> None:
    """Raise UserError if the packages for DICOM output are not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise UserError(
            "DICOM output needs highdicom: install it with pip install 'mmlesion[dicom]'"
        ) from None


def device() -> dict:
    """Return the attributes of the equipment that all objects have."""
    return {
        'manufacturer': MANUFACTURER,
        'manufacturer_model_name': MANUFACTURER,
        'software_versions': __version__,
        'device_serial_number': '0',
    }


def algorithm(results: Results) -> AlgorithmIdentificationSequence:
    """Return what detected the lesions."""
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    names = {key: str(value) for key, value in results.detector.items() if isinstance(value, str)}
    return AlgorithmIdentificationSequence(
        name=MANUFACTURER,
        version=__version__,
        family=codes.cid7162.ArtificialIntelligence,
        parameters=names or None,
    )


def uid_of(what: str, results: Results, source: SourceSeries) -> str:
    """Return a UID of an object, the same whenever the same results are exported."""
    from pydicom.uid import generate_uid

    first = source.slices[0]
    lesions = [lesion.bbox_voxel.tolist() + [lesion.score] for lesion in results.lesions]
    origin = [str(first.SeriesInstanceUID), to_json(results.detector, sort_keys=True)]
    return generate_uid(entropy_srcs=[what, *origin, to_json(lesions), __version__])


def tracking_id(lesion: DetectedLesion) -> str:
    """Return what people call a lesion."""
    return f'{lesion.label} {lesion.id}'
