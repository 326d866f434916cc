"""Finished runs as statistics."""
