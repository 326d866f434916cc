"""Comparisons: statistics over the runs that `genophen run` and `genophen sweep` left."""
