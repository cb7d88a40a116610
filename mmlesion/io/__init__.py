"""File formats and the annotation schema, one module each, without framework dependencies.

Readers check what they read and raise :class:`~mmlesion.utils.UserError` with the file, the place
in it and what to do. Writers leave a whole file or none.
"""
