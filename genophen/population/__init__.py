"""Many weight sets of one network at once."""
