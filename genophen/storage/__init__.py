"""What stays on disk: run directory, checkpoints, files, records, environment."""
