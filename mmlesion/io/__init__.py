"""File formats and the annotation schema: a module for each, none of which needs a framework.

Readers check what they read and raise :class:`~mmlesion.utils.UserError` with the file, the place
in it and what to do. Writers leave a whole file or none.
"""
