"""Names with which older programs ask what a constraint is."""

from clgrad.distributions.constraints import cat as _Cat
from clgrad.distributions.constraints import dependent_property as _DependentProperty
from clgrad.distributions.constraints import greater_than as _GreaterThan
from clgrad.distributions.constraints import greater_than_eq as _GreaterThanEq
from clgrad.distributions.constraints import half_open_interval as _HalfOpenInterval
from clgrad.distributions.constraints import independent as _IndependentConstraint
from clgrad.distributions.constraints import integer_greater_than as _IntegerGreaterThan
from clgrad.distributions.constraints import integer_interval as _IntegerInterval
from clgrad.distributions.constraints import integer_less_than as _IntegerLessThan
from clgrad.distributions.constraints import interval as _Interval
from clgrad.distributions.constraints import less_than as _LessThan
from clgrad.distributions.constraints import multinomial as _Multinomial
from clgrad.distributions.constraints import stack as _Stack

__all__ = ["_Cat", "_DependentProperty", "_GreaterThan", "_GreaterThanEq", "_HalfOpenInterval", "_IndependentConstraint",
           "_IntegerGreaterThan", "_IntegerInterval", "_IntegerLessThan", "_Interval", "_LessThan", "_Multinomial", "_Stack"]
