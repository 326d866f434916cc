"""Finished runs as one HTML page and as figures."""
