"""NEAT: graphs whose structure evolves, by the package neat-python."""
