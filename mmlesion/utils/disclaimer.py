"""What every result says of itself."""

NOT_FOR_DIAGNOSIS = 'For research. Not a medical device; no result is for diagnosis.'
SHORT_NOT_FOR_DIAGNOSIS = 'Research only, not for diagnosis'
"""The same within the 64 characters of a DICOM description."""
