"""A run's network as a file that needs no genophen."""
