"""Search as ask and tell; evotorch's algorithms, seeded, with a state that continues to the bit."""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

import genophen
from genophen_plugins.optimizers.evolution.options import CMAESOptions, EvolutionOptions
from genophen_plugins.ray_cluster import quiet_ray

#: What CMA-ES remembers from one generation to the next, by evotorch's names.
_CMAES_STATE = ("m", "sigma", "C", "A", "p_sigma", "p_c")


class Searcher(ABC):
    """A distribution over coordinates (num_genes,), standard normal times `stdev_init` at the start."""

    @abstractmethod
    def ask(self) -> Tensor:
        """The candidates of the next generation, (P, num_genes)."""

    @abstractmethod
    def tell(self, fitness: Tensor) -> None:
        """Take in the finite fitness (P,) of the candidates that `ask` gave last; higher is better."""

    @abstractmethod
    def center(self) -> Tensor:
        """The search's answer so far, (num_genes,): the mean of a distribution, or the best of draws."""

    @abstractmethod
    def stdev(self) -> float:
        """The width of the distribution: its standard deviations' mean, or the step size."""

    def failed_test(self) -> None:  # noqa: B027
        """Take in that the best candidate of the last generation failed the task's own test of success."""

    def extras(self) -> dict[str, float]:
        """Further numbers to be recorded, by name."""
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that the next generations depend on, after `tell`."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` gave."""


class EvotorchSearcher(Searcher):
    """A search of evotorch's, in double precision, in which a covariance matrix stays definite for longer."""

    def __init__(self, num_genes: int, seed: int, options: EvolutionOptions) -> None:
        self._evotorch = _import_evotorch()
        self._problem = _make_problem(self._evotorch, num_genes, seed)
        with warnings.catch_warnings():
            # evotorch calls np.floor and torch.tensor on torch tensors, of which both packages disapprove.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            self._algorithm = self._make_algorithm(np.zeros(num_genes), options)

    @abstractmethod
    def _make_algorithm(self, center: np.ndarray, options: EvolutionOptions) -> Any:
        """evotorch's algorithm on `self._problem`."""

    @abstractmethod
    def _own_state(self) -> dict[str, Any]: ...

    @abstractmethod
    def _load_own_state(self, state: dict[str, Any]) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self._algorithm._steps_count,
            "generator": self._problem.generator.get_state(),
            **self._own_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._algorithm._steps_count = state["steps"]
        self._problem.generator.set_state(state["generator"])
        self._load_own_state(state)


def _make_problem(evotorch: Any, num_genes: int, seed: int) -> Any:
    """evotorch's problem of the present generation, whose fitness is what it was told, `told` (P,)."""

    class Told(evotorch.Problem):
        told = torch.zeros(())

        def _evaluate_batch(self, batch: Any) -> None:
            batch.set_evals(self.told.to(torch.float64).expand(len(batch)))

    return Told(
        "max",
        solution_length=num_genes,
        initial_bounds=(-1.0, 1.0),
        dtype=torch.float64,
        eval_dtype=torch.float64,
        seed=seed,
        store_solution_stats=False,
    )


class CMAESSearcher(EvotorchSearcher):
    """CMA-ES, active, with a full or a diagonal covariance matrix.

    evotorch's step draws, evaluates and moves; here it moves, by what `ask` drew and `tell` was told.
    """

    def __init__(self, num_genes: int, seed: int, options: CMAESOptions, separable: bool) -> None:
        self._separable = separable
        super().__init__(num_genes, seed, options)

    def _make_algorithm(self, center: np.ndarray, options: Any) -> Any:
        algorithm = self._evotorch.algorithms.CMAES(
            self._problem,
            stdev_init=options.stdev_init,
            popsize=options.population_size,
            center_init=center,
            separable=self._separable,
            stdev_min=options.stdev_min,
        )
        self._draw = algorithm.sample_distribution
        algorithm.sample_distribution = lambda: self._drawn
        return algorithm

    def ask(self) -> Tensor:
        self._drawn = self._draw()
        _, _, candidates = self._drawn  # the others: before shape and scale, before scale
        return _plain(candidates)

    def tell(self, fitness: Tensor) -> None:
        self._problem.told = fitness
        try:
            self._algorithm.step()
        except torch.linalg.LinAlgError as error:
            raise genophen.GenophenError(
                "cannot continue the evolution",
                found=f"the covariance matrix is no longer positive definite ({str(error).splitlines()[0]})",
                next_step="a smaller stdev_init, a larger population_size, or separable = true",
            ) from None

    def center(self) -> Tensor:
        return _plain(self._algorithm.m)

    def stdev(self) -> float:
        return float(self._algorithm.sigma)

    def _own_state(self) -> dict[str, Any]:
        return {name: _plain(getattr(self._algorithm, name)) for name in _CMAES_STATE}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        for name, own in self._own_state().items():
            value = state[name]
            # The paths, p_sigma and p_c, are the number 0 before the first generation, and vectors then.
            kinds = {_kind(own), _kind(own if isinstance(own, Tensor) else self.center())}
            if _kind(value) not in kinds:
                raise ValueError(f"{name} is {_kind(value)}")
            setattr(self._algorithm, name, value.clone() if isinstance(value, Tensor) else value)
        if not self._separable:
            torch.linalg.cholesky(self._algorithm.C)  # raises where it is none of this search


class GaussianSearcher(EvotorchSearcher):
    """Searches of evotorch's that follow a gradient of the distribution's own parameters.

    Their step moves the distribution by the generation before, and then draws the next one.
    """

    def ask(self) -> Tensor:
        self._algorithm.step()
        return _plain(self._algorithm.population.values)

    def tell(self, fitness: Tensor) -> None:
        self._algorithm.population.set_evals(fitness.to(torch.float64))

    def center(self) -> Tensor:
        return _plain(self._algorithm._distribution.parameters["mu"])

    def stdev(self) -> float:
        return float(self._algorithm._distribution.parameters["sigma"].mean())

    def _own_state(self) -> dict[str, Any]:
        parameters = self._algorithm._distribution.parameters
        population, optimizer = self._algorithm._population, self._algorithm._optimizer
        return {
            "mu": _plain(parameters["mu"]),
            "sigma": _plain(parameters["sigma"]),
            "values": None if population is None else _plain(population.values),
            "evals": None if population is None else _plain(population.evals),
            "velocity": None if optimizer is None else _plain(optimizer._velocity),
        }

    def _load_own_state(self, state: dict[str, Any]) -> None:
        algorithm = self._algorithm
        moved = {"mu": state["mu"].clone(), "sigma": state["sigma"].clone()}
        algorithm._distribution = algorithm._distribution.modified_copy(**moved)
        if state["velocity"] is not None:
            algorithm._optimizer._velocity = state["velocity"].clone()
        if state["values"] is not None:
            batch = self._evotorch.SolutionBatch(self._problem, popsize=len(state["values"]), empty=True)
            batch.set_values(state["values"])
            batch.set_evals(state["evals"])
            algorithm._population, algorithm._first_iter = batch, False


class SNESSearcher(GaussianSearcher):
    """Separable natural evolution strategy with its published learning rates."""

    def _make_algorithm(self, center: np.ndarray, options: EvolutionOptions) -> Any:
        return self._evotorch.algorithms.SNES(
            self._problem, stdev_init=options.stdev_init, popsize=options.population_size, center_init=center
        )


class PGPESearcher(GaussianSearcher):
    """PGPE with mirrored candidates and ClipUp, with the settings that Toklu et al. (2020) derive.

    They set ClipUp's speed, which is the same at every step, to a share of the search's radius at the start.
    Here it is that share of the present radius: a speed that stays keeps the centre from settling.
    """

    def ask(self) -> Tensor:
        radius = float(self._algorithm._distribution.parameters["sigma"].norm())
        (group,) = self._algorithm._optimizer.param_groups
        group["max_speed"], group["lr"] = radius / 15, radius / 30
        return super().ask()

    def _make_algorithm(self, center: np.ndarray, options: EvolutionOptions) -> Any:
        max_speed = options.stdev_init * len(center) ** 0.5 / 15
        return self._evotorch.algorithms.PGPE(
            self._problem,
            popsize=options.population_size,
            center_init=center,
            stdev_init=options.stdev_init,
            center_learning_rate=max_speed / 2,
            stdev_learning_rate=0.1,
            optimizer="clipup",
            optimizer_config={"max_speed": max_speed},
        )


def _plain(value: Any) -> Any:
    """A copy of a tensor without evotorch's read-only wrapper; other values as they are."""
    return value.as_subclass(Tensor).detach().clone() if isinstance(value, Tensor) else value


def _import_evotorch() -> Any:
    quiet_ray()  # evotorch imports it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that it imports, about each other
            import evotorch
            import evotorch.algorithms
    except ImportError as error:
        raise genophen.GenophenError(
            "cannot evolve",
            found=f"the package evotorch cannot be imported: {error}",
            next_step=f"{genophen.install_command('evolution')}; --optimizer adam needs nothing more",
        ) from None
    # Its messages go to stdout, which belongs to the data that was asked for.
    logging.getLogger("evotorch").setLevel(logging.WARNING)
    return evotorch


def _kind(value: Any) -> Any:
    return (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else type(value)
