"""What writes weights."""
