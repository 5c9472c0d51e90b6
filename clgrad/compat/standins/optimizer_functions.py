"""``torch.optim._functional``: the steps of optimizers as functions."""

from clgrad.optim.adadelta import adadelta as adadelta
from clgrad.optim.adagrad import adagrad as adagrad
from clgrad.optim.adam import adam as adam
from clgrad.optim.adamax import adamax as adamax
from clgrad.optim.adamw import adamw as adamw
from clgrad.optim.asgd import asgd as asgd
from clgrad.optim.nadam import nadam as nadam
from clgrad.optim.radam import radam as radam
from clgrad.optim.rmsprop import rmsprop as rmsprop
from clgrad.optim.rprop import rprop as rprop
from clgrad.optim.sgd import sgd as sgd
