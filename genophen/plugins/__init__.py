"""Finding, loading, isolating and checking plugins, and the skeletons of new ones."""
