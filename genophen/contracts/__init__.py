"""What a plugin author may write, one base class a file, and the hooks."""
