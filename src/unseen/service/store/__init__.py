"""The database of the service: what it holds, and how it is opened, moved on and copied."""
