"""Main networks."""
