"""From a genotype to a running network."""
