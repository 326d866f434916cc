"""Exports: the best weights of a run as a plain network with its preprocessing, for use without genophen."""
