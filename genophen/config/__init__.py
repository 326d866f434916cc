"""TOML to validated settings."""
