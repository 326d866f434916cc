"""Many runs from one file, their table, published results."""
