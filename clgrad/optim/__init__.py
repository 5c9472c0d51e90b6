"""Optimizers and schedules of their learning rates.

>>> import clgrad
>>> model = clgrad.nn.Linear(2, 1)
>>> optimizer = clgrad.optim.Adam(model.parameters(), lr=1e-2)
>>> model(clgrad.ones(4, 2)).sum().backward()
>>> optimizer.step()
"""

from clgrad.optim import lr_scheduler, swa_utils
from clgrad.optim._adafactor import Adafactor
from clgrad.optim._muon import Muon
from clgrad.optim.adadelta import Adadelta
from clgrad.optim.adagrad import Adagrad
from clgrad.optim.adam import Adam
from clgrad.optim.adamax import Adamax
from clgrad.optim.adamw import AdamW
from clgrad.optim.asgd import ASGD
from clgrad.optim.lbfgs import LBFGS
from clgrad.optim.nadam import NAdam
from clgrad.optim.optimizer import Optimizer
from clgrad.optim.radam import RAdam
from clgrad.optim.rmsprop import RMSprop
from clgrad.optim.rprop import Rprop
from clgrad.optim.sgd import SGD
from clgrad.optim.sparse_adam import SparseAdam

__all__ = ["ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Muon", "NAdam",
           "Optimizer", "RAdam", "RMSprop", "Rprop", "SparseAdam", "lr_scheduler", "swa_utils"]
