"""A step a file, in the order of their revisions."""
