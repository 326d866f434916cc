"""Evolution strategies over a genotype's numbers, with readouts solved in closed form on request."""
