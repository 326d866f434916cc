"""CMA-ES that begins anew."""

from __future__ import annotations

import torch
from genophen_plugins.optimizers.evolution.options import CMAESOptions
from genophen_plugins.optimizers.evolution.restarts import RestartingSearcher, make_cmaes
from torch import Tensor


def searcher(**options: object) -> RestartingSearcher:
    made = make_cmaes(3, 7, CMAESOptions(population_size=6, restart_after=2, **options), separable=False)
    assert isinstance(made, RestartingSearcher)
    return made


def generation(search: RestartingSearcher, best: float) -> Tensor:
    candidates = search.ask()
    fitness = torch.zeros(len(candidates))
    fitness[1] = best
    search.tell(fitness)
    return candidates


def test_it_begins_anew_after_generations_that_are_no_better() -> None:
    search = searcher(restart_growth=2.0)
    first = generation(search, 1.0)
    generation(search, 2.0)
    generation(search, 2.0)  # as good is no better
    assert search.extras() == {"restarts": 0.0}
    generation(search, 1.5)
    assert search.extras() == {"restarts": 1.0}
    assert search.center().tolist() == [0.0, 0.0, 0.0]
    again = generation(search, 0.1)  # what was found before is forgotten
    assert len(first) == 6
    assert len(again) == 12
    assert not torch.equal(first, again[:6])
    assert search.extras() == {"restarts": 1.0}


def test_it_goes_on_to_the_bit_from_any_generation() -> None:
    fitness = [0.3, 0.2, 0.1, 0.5, 0.4, 0.4, 0.9, 0.8, 0.7]
    for cut in range(1, len(fitness)):
        whole, before, after = searcher(), searcher(), searcher()
        expected = [generation(whole, best) for best in fitness]
        for best in fitness[:cut]:
            generation(before, best)
        after.load_state_dict(before.state_dict())
        found = [generation(after, best) for best in fitness[cut:]]
        assert all(torch.equal(a, b) for a, b in zip(found, expected[cut:], strict=True)), cut
        assert after.extras() == whole.extras() == {"restarts": 3.0}


def test_it_begins_anew_after_failed_tests() -> None:
    options = CMAESOptions(population_size=6, restart_after_tests=2)
    search, after = (make_cmaes(3, 7, options, separable=False) for _ in range(2))
    assert isinstance(search, RestartingSearcher)
    generation(search, 1.0)
    search.failed_test()
    for _ in range(60):
        generation(search, 1.0)  # that it stagnates is no reason where none is given
    assert isinstance(after, RestartingSearcher)
    after.load_state_dict(search.state_dict())
    for each in (search, after):
        assert each.extras() == {"restarts": 0.0}
        each.failed_test()
        assert each.extras() == {"restarts": 1.0}
        each.failed_test()
        assert each.extras() == {"restarts": 1.0}, "a new search has failed none"
    assert torch.equal(search.ask(), after.ask())


def test_a_lower_bound_on_the_width_holds() -> None:
    narrow = make_cmaes(3, 7, CMAESOptions(population_size=6, stdev_init=0.1), separable=False)
    bounded = make_cmaes(
        3, 7, CMAESOptions(population_size=6, stdev_init=0.1, stdev_min=0.05), separable=False
    )
    for search in (narrow, bounded):
        for _ in range(60):
            search.tell(-search.ask().square().sum(1))
    assert narrow.ask().std(0).max() < 1e-3
    assert bounded.ask().std(0).min() > 0.01
