"""The version of mmlesion."""

__version__ = '0.1.0'
