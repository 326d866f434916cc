"""Worlds that controllers act in, and their episodes: many candidates and many starts at once."""
