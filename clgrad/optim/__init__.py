"""Optimizers and schedules of their learning rates.

>>> import clgrad
>>> model = clgrad.nn.Linear(2, 1)
>>> optimizer = clgrad.optim.Adam(model.parameters(), lr=1e-2)
>>> model(clgrad.ones(4, 2)).sum().backward()
>>> optimizer.step()
"""

from clgrad.optim import lr_scheduler
from clgrad.optim.adagrad import Adagrad
from clgrad.optim.adam import Adam, AdamW
from clgrad.optim.optimizer import Optimizer
from clgrad.optim.rmsprop import RMSprop
from clgrad.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
