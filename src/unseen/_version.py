"""The version, which a saved detector records."""

__version__ = "0.1.0"
