"""The version, which a saved detector records."""

__version__ = "0.2.0.dev0"
