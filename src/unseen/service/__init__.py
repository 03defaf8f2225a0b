"""The service: detectors behind an API, alerts and labels in a database, a page for people who
review.
"""
