"""Detected lesions in the formats of other programs: DICOM and 3D Slicer."""
