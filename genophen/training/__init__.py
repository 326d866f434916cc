"""One run: from a config to a trained network, its checkpoints and its result."""
