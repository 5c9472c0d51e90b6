"""A line search for the strong Wolfe conditions (Nocedal and Wright, "Numerical Optimization", algorithms 3.5, 3.6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

ENOUGH_DECREASE, ENOUGH_FLATTER = 1e-4, 0.9


class Point(NamedTuple):
    """A step length with the loss, its gradient and its slope along the direction there."""

    t: float
    value: float
    gradient: Any
    slope: float


def _minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points' values and slopes is lowest, within limits."""
    left, right = (a, b) if a.t <= b.t else (b, a)
    if a.t == b.t:
        return (low + high) / 2.0
    mean = left.slope + right.slope - 3.0 * (left.value - right.value) / (left.t - right.t)
    square = mean * mean - left.slope * right.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    divisor = right.slope - left.slope + 2.0 * root
    if divisor == 0:
        return (low + high) / 2.0
    found = right.t - (right.t - left.t) * ((right.slope + root - mean) / divisor)
    return min(max(found, low), high)


def strong_wolfe(measure: Callable[[float], Point], begin: Point, t: float, longest: float, most: int,
                 tolerance: float = 1e-9) -> tuple[Point, int]:
    """A point that lies clearly lower than ``begin`` and is much flatter, or the best within ``most`` iterations.

    Args:
        measure: evaluates the loss at a step length.
        begin: the point of length 0.
        t: the first length to try.
        longest: the largest element of the direction.
        most: iterations.
        tolerance: brackets that change parameters less are not refined.

    Returns:
        The point, and how often ``measure`` was called.
    """
    def too_high(point: Point) -> bool:
        return point.value > begin.value + ENOUGH_DECREASE * point.t * begin.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -ENOUGH_FLATTER * begin.slope
    last, new = begin, measure(t)
    calls, iteration = 1, 0
    bracket = None
    while iteration < most:
        if too_high(new) or (iteration > 1 and new.value >= last.value):
            bracket = [last, new]
            break
        if flat(new):
            return new, calls
        if new.slope >= 0:
            bracket = [last, new]
            break
        t = _minimum(last, new, new.t + 0.01 * (new.t - last.t), new.t * 10.0)
        last, new = new, measure(t)
        calls += 1
        iteration += 1
    if bracket is None:
        bracket = [begin, new]
    bracket.sort(key=lambda point: point.value)  # the lower one first
    stuck = False
    while iteration < most:
        lower, other = bracket
        low, high = min(lower.t, other.t), max(lower.t, other.t)
        if (high - low) * longest < tolerance:
            break
        t = _minimum(lower, other, low, high)
        margin = 0.1 * (high - low)
        close = min(high - t, t - low) < margin
        if close and (stuck or t >= high or t <= low):
            t = high - margin if abs(t - high) < abs(t - low) else low + margin
            stuck = False
        else:
            stuck = close
        new = measure(t)
        calls += 1
        iteration += 1
        if too_high(new) or new.value >= lower.value:
            bracket = sorted([lower, new], key=lambda point: point.value)
            continue
        if flat(new):
            return new, calls
        bracket = [new, lower if new.slope * (other.t - lower.t) >= 0 else other]
    return bracket[0], calls
