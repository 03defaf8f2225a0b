"""Reasons: which columns of a row raise its score, and what would make the row unremarkable."""
