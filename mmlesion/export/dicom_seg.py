"""DICOM Segmentation objects of detected lesions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlesion.io.results import SHORT_NOT_FOR_DIAGNOSIS, DetectedLesion, Results

from .source_series import SourceSeries, algorithm, device, tracking_id, uid_of

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

SERIES_NUMBER = 9001


def write_dicom_seg(
    results: Results, label_map: np.ndarray, source: SourceSeries, path: str | Path
) -> None:
    """Write a binary Segmentation with a segment per lesion, in the order of the results.

    Each frame refers to its slice of the source series and lies where that lies: a series with a
    tilt or uneven distances keeps its geometry.

    Args:
        results: One or more lesions.
        label_map: (k, j, i) int, voxels are lesion ids.
        source: The series of the n slices k.
        path: The file.
    """
    from highdicom.seg import Segmentation, SegmentationTypeValues

    identification = algorithm(results)
    # segments count from 1 without a gap; ids may have one where a reader has deleted a lesion
    segment_of = np.zeros(label_map.max() + 1, np.uint16)
    for number, lesion in enumerate(results.lesions, start=1):
        segment_of[lesion.id : lesion.id + 1] = number  # or nothing, if others cover it wholly
    segmentation = Segmentation(
        source_images=source.slices,
        pixel_array=segment_of[label_map],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe(number, lesion, results, source, identification)
            for number, lesion in enumerate(results.lesions, start=1)
        ],
        series_instance_uid=uid_of('seg series', results, source),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid_of('seg', results, source),
        instance_number=1,
        series_description=f'Lesions. {SHORT_NOT_FOR_DIAGNOSIS}',
        content_label='LESIONS',
        **device(),
    )
    segmentation.save_as(path)


def _describe(
    number: int,
    lesion: DetectedLesion,
    results: Results,
    source: SourceSeries,
    identification: AlgorithmIdentificationSequence,
) -> SegmentDescription:
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    shape = 'mask' if lesion.diameter_source == 'mask' else 'ellipsoid in the detected box'
    return SegmentDescription(
        segment_number=number,
        segment_label=f'{tracking_id(lesion)}, score {lesion.score:.2f}, {shape}'[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identification,
        tracking_uid=uid_of(f'lesion {lesion.id}', results, source),
        tracking_id=tracking_id(lesion),
    )
