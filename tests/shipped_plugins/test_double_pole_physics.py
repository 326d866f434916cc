"""The two poles' equations of motion, against others' integrators and against Lagrange's equations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from genophen_plugins.tasks import double_pole_physics as physics
from scipy.integrate import solve_ivp

from genophen.control.world import NUMBERS, TENSORS

#: The cart moves to the right throughout, so that its friction keeps its sign.
START = (-1.0, 1.0, math.radians(1), 0.0, 0.0, 0.0)
#: A regulator that holds both poles.
GAINS = np.array([0.0, 2.0, 86.0, 23.0, -67.0, -6.4])
ACTIONS = 100


def held(state: tuple[float, ...]) -> float:
    """The regulator's force, N; it lets the cart roll at 0.5 m/s."""
    return float(-GAINS @ (np.array(state) - [0, 0.5, 0, 0, 0, 0]))


def rates(time: float, y: np.ndarray, force: float) -> list[float]:
    _, v, a, w, b, u = y.tolist()
    c, d, e = physics.accelerate(v, a, w, b, u, force, NUMBERS)
    return [v, c, w, d, u, e]


def path(advance: Callable[[tuple[float, ...], float], tuple[float, ...]]) -> np.ndarray:
    """The states (ACTIONS, 6) after each action of 0.02 s."""
    states, state = [], START
    for _ in range(ACTIONS):
        state = advance(state, held(state))
        states.append(state)
    return np.array(states)


def by_runge_kutta(steps: int) -> Callable[[tuple[float, ...], float], tuple[float, ...]]:
    def advance(state: tuple[float, ...], force: float) -> tuple[float, ...]:
        for _ in range(steps):
            state = physics.integrate(state, force, NUMBERS, 0.02 / steps)
        return state

    return advance


def by_scipy(state: tuple[float, ...], force: float) -> tuple[float, ...]:
    solved = solve_ivp(rates, (0, 0.02), state, "DOP853", args=(force,), rtol=1e-13, atol=1e-14)
    return tuple(solved.y[:, -1].tolist())


def test_steps_of_a_hundredth_of_a_second_are_of_fourth_order() -> None:
    exact = path(by_scipy)
    assert (exact[:, 1] > 0).all()
    errors = [np.abs(path(by_runge_kutta(steps)) - exact).max() for steps in (2, 4, 32)]
    assert errors[0] < 1e-5  # of a regulated path, at the step that the task takes
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.15)
    assert errors[2] < 1e-8


def test_the_equations_are_lagranges() -> None:
    """The same Runge-Kutta steps over accelerations that a mass matrix is solved for."""

    def accelerations(v: float, a: float, w: float, b: float, u: float, force: float) -> np.ndarray:
        matrix = np.zeros((3, 3))
        right = np.zeros(3)
        matrix[0, 0] = physics.CART_MASS
        right[0] = force - physics.CART_FRICTION * np.sign(v)
        for i, ((mass, half), angle, turn) in enumerate(((physics.LONG, a, w), (physics.SHORT, b, u)), 1):
            matrix[0, 0] += mass
            matrix[0, i] = matrix[i, 0] = mass * half * math.cos(angle)
            matrix[i, i] = 4 / 3 * mass * half**2
            right[0] += mass * half * turn**2 * math.sin(angle)
            right[i] = 9.8 * mass * half * math.sin(angle) - physics.JOINT_FRICTION * turn
        return np.linalg.solve(matrix, right)

    def rate(y: np.ndarray, force: float) -> np.ndarray:
        c, d, e = accelerations(*y[1:], force)
        return np.array([y[1], c, y[3], d, y[5], e])

    def advance(state: tuple[float, ...], force: float) -> tuple[float, ...]:
        y, h = np.array(state), physics.SECONDS
        for _ in range(2):
            k1 = rate(y, force)
            k2 = rate(y + h / 2 * k1, force)
            k3 = rate(y + h / 2 * k2, force)
            k4 = rate(y + h * k3, force)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return tuple(y.tolist())

    assert np.abs(path(by_runge_kutta(2)) - path(advance)).max() < 1e-8


def test_batched_and_alone_are_equal_to_the_bit() -> None:
    draws = torch.randn(6, 7, 129, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.3
    force = draws.sum(0)
    together = physics.integrate(tuple(draws), force, TENSORS)
    for i, j in ((0, 0), (3, 77), (6, 128)):
        alone = physics.integrate(tuple(draws[:, i, j].view(6, 1, 1)), force[i, j].view(1, 1), TENSORS)
        assert [float(value) for value in alone] == [float(value[i, j]) for value in together]
        numbers = physics.integrate(tuple(draws[:, i, j].tolist()), float(force[i, j]), NUMBERS)
        assert numbers == pytest.approx([float(value) for value in alone], rel=1e-12, abs=1e-14)
