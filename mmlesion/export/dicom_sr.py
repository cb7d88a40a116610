"""Structured Reports (TID 1500) of detected lesions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlesion.io.results import SHORT_NOT_FOR_DIAGNOSIS, DetectedLesion, Results
from mmlesion.version import __version__

from .source_series import MANUFACTURER, SourceSeries, device, tracking_id, uid_of

if TYPE_CHECKING:
    from highdicom.sr import Measurement, ObservationContext
    from highdicom.sr import PlanarROIMeasurementsAndQualitativeEvaluations as PlanarROI

SERIES_NUMBER = 9002


def write_dicom_sr(
    results: Results, label_map: np.ndarray, source: SourceSeries, path: str | Path
) -> None:
    """Write an Imaging Measurement Report with a measurement group per lesion.

    A group has the lesion's outline on its key slice, the long and the short diameter in mm, the
    score in percent as certainty of the finding, and the tracking identifiers of the Segmentation.

    Args:
        results: One or more lesions.
        label_map: (k, j, i) int, voxels are lesion ids.
        source: The series of the n slices k.
        path: The file.
    """
    from highdicom.sr import ComprehensiveSR, MeasurementReport
    from pydicom.sr.codedict import codes

    content = MeasurementReport(
        observation_context=_observer(results, source),
        procedure_reported=codes.cid100.CTUnspecifiedBodyRegion,
        imaging_measurements=[
            _measure(lesion, results, label_map, source) for lesion in results.lesions
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )
    key_slices = sorted({lesion.key_slice for lesion in results.lesions})
    report = ComprehensiveSR(
        evidence=[source.slices[number] for number in key_slices],
        content=content[0],
        series_instance_uid=uid_of('sr series', results, source),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid_of('sr', results, source),
        instance_number=1,
        series_description=f'Lesions. {SHORT_NOT_FOR_DIAGNOSIS}',
        is_complete=True,
        is_final=False,
        is_verified=False,
        **device(),
    )
    report.save_as(path)


def _observer(results: Results, source: SourceSeries) -> ObservationContext:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes

    program = DeviceObserverIdentifyingAttributes(
        uid=uid_of('device', results, source), name=MANUFACTURER, manufacturer_name=MANUFACTURER
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=program
        )
    )


def _measure(
    lesion: DetectedLesion, results: Results, label_map: np.ndarray, source: SourceSeries
) -> PlanarROI:
    from highdicom.sr import (
        AlgorithmIdentification,
        GraphicTypeValues,
        ImageRegion,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    region = ImageRegion(
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=outline(lesion, label_map[lesion.key_slice]),
        source_image=SourceImageForRegion.from_source_image(source.slices[lesion.key_slice]),
    )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uid_of(f'lesion {lesion.id}', results, source), identifier=tracking_id(lesion)
        ),
        referenced_region=region,
        finding_type=codes.SCT.Lesion,
        algorithm_id=AlgorithmIdentification(name=MANUFACTURER, version=__version__),
        measurements=_numbers(lesion, results),
    )


def _numbers(lesion: DetectedLesion, results: Results) -> list[Measurement]:
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes

    values = (
        (codes.SCT.LongAxis, lesion.diameter_mm, codes.UCUM.Millimeter),
        (codes.SCT.ShortAxis, lesion.short_diameter_mm, codes.UCUM.Millimeter),
        (codes.DCM.CertaintyOfFinding, 100 * min(lesion.score, 1.0), codes.UCUM.Percent),
    )
    return [
        Measurement(name=name, value=round(value, 4), unit=unit) for name, value, unit in values
    ]


def outline(lesion: DetectedLesion, labels: np.ndarray) -> np.ndarray:
    """Return the closed outline of a lesion on its key slice.

    Args:
        lesion: The lesion.
        labels: (j, i) lesion ids on that slice. Where other lesions cover it, the
            outline is that of its box.

    Returns:
        ndarray: (n, 2) column, row; the center of pixel n lies at n + 0.5, as DICOM has it.
    """
    import cv2  # which the other formats do not need

    mask = (labels == lesion.id).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if contours:
        # OpenCV has the center of px n at n, DICOM's image coordinates at n + 0.5
        points = max(contours, key=cv2.contourArea).reshape(-1, 2) + 0.5
    else:
        # a lesion that others cover in the label map has its box for an outline
        x1, y1, _, x2, y2, _ = np.add(lesion.bbox_voxel, 0.5)
        points = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    return np.concatenate([points, points[:1]]).astype(float)
