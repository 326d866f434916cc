"""Two poles, jointed to a cart that moves along a line (Wieland 1991); SI units throughout."""

from __future__ import annotations

import math
from typing import Any

GRAVITY = -9.8
CART_MASS = 1.0
CART_FRICTION = 5e-4
JOINT_FRICTION = 2e-6
#: Mass, and half the length, of either pole.
LONG, SHORT = (0.1, 0.5), (0.01, 0.05)
#: What one step of the integrator takes.
SECONDS = 0.01
MAX_POSITION = 2.4
MAX_ANGLE = math.radians(36)

Value = Any  # a float, or a tensor of them
#: Position and velocity of the cart, angle and angular velocity of the long pole, and of the short one.
State = tuple[Value, Value, Value, Value, Value, Value]

(_M_A, _L_A), (_M_B, _L_B) = LONG, SHORT
_ML_A, _ML_B = _M_A * _L_A, _M_B * _L_B
_DRAG_A, _DRAG_B = JOINT_FRICTION / _ML_A, JOINT_FRICTION / _ML_B
_M34_A, _M34_B = 0.75 * _M_A, 0.75 * _M_B
_LEVER_A, _LEVER_B = -0.75 / _L_A, -0.75 / _L_B
_MASS = CART_MASS + _M_A + _M_B


def accelerate(v: Value, a: Value, w: Value, b: Value, u: Value, force: Value, ops: Any) -> tuple[Value, ...]:
    """Accelerations of the cart, the long and the short pole.

    `v`: velocity of the cart; `a`, `w`: angle and angular velocity of the long pole; `b`, `u`: of the short.
    """
    sin_a, cos_a, sin_b, cos_b = ops.sin(a), ops.cos(a), ops.sin(b), ops.cos(b)
    turn_a, turn_b = _DRAG_A * w + GRAVITY * sin_a, _DRAG_B * u + GRAVITY * sin_b
    lean_a, lean_b = _M34_A * cos_a, _M34_B * cos_b
    push_a = _ML_A * w * w * sin_a + lean_a * turn_a
    push_b = _ML_B * u * u * sin_b + lean_b * turn_b
    mass = _MASS - lean_a * cos_a - lean_b * cos_b
    cart = (force - CART_FRICTION * ops.sign(v) + push_a + push_b) / mass
    return cart, _LEVER_A * (cart * cos_a + turn_a), _LEVER_B * (cart * cos_b + turn_b)


def integrate(state: State, force: Value, ops: Any, seconds: float = SECONDS) -> State:
    """The state some time on under a constant force: one step of the fourth-order Runge-Kutta method."""
    x, v, a, w, b, u = state
    half, sixth = seconds / 2, seconds / 6
    c1, d1, e1 = accelerate(v, a, w, b, u, force, ops)
    v2, w2, u2 = v + half * c1, w + half * d1, u + half * e1
    c2, d2, e2 = accelerate(v2, a + half * w, w2, b + half * u, u2, force, ops)
    v3, w3, u3 = v + half * c2, w + half * d2, u + half * e2
    c3, d3, e3 = accelerate(v3, a + half * w2, w3, b + half * u2, u3, force, ops)
    v4, w4, u4 = v + seconds * c3, w + seconds * d3, u + seconds * e3
    c4, d4, e4 = accelerate(v4, a + seconds * w3, w4, b + seconds * u3, u4, force, ops)
    return (
        x + sixth * (v + 2 * (v2 + v3) + v4),
        v + sixth * (c1 + 2 * (c2 + c3) + c4),
        a + sixth * (w + 2 * (w2 + w3) + w4),
        w + sixth * (d1 + 2 * (d2 + d3) + d4),
        b + sixth * (u + 2 * (u2 + u3) + u4),
        u + sixth * (e1 + 2 * (e2 + e3) + e4),
    )
