"""What changes a phenotype: gradients, evolution."""
