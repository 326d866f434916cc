"""Ratios against named references, measured side by side in one run. Not part of the tests."""
