"""Many runs from one file, their table, and published results."""
