"""unseen: detects anomalies of kinds that nobody has labelled yet."""

__version__ = "0.1.0"
