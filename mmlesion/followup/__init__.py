"""Lesions of a patient in two studies: registration, pairs and RECIST changes."""
