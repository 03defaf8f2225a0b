"""The review page: alerts in a browser, for people who say what they are."""
