"""Every benchmark, one table each: python -m benchmarks."""

from benchmarks import population, training_round

if __name__ == "__main__":
    training_round.main()
    population.main()
