"""Probability distributions: sampling, densities, entropies, divergences.

>>> import clgrad
>>> d = clgrad.distributions.Normal(clgrad.zeros(3), clgrad.ones(3))
>>> d.rsample((2,)).shape
torch.Size([2, 3])
"""

from clgrad.distributions import constraints, kl, kl_across, transforms, utils
from clgrad.distributions.compound import (
    Independent,
    Kumaraswamy,
    LogisticNormal,
    LogitRelaxedBernoulli,
    LogNormal,
    MixtureSameFamily,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    TransformedDistribution,
    VonMises,
)
from clgrad.distributions.constraint_registry import ConstraintRegistry, biject_to, transform_to
from clgrad.distributions.continuous import Cauchy, Exponential, Laplace, Normal, Uniform
from clgrad.distributions.continuous_bernoulli import ContinuousBernoulli
from clgrad.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    Multinomial,
    NegativeBinomial,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)
from clgrad.distributions.distribution import Distribution
from clgrad.distributions.exp_family import ExponentialFamily
from clgrad.distributions.extremes import Gumbel, HalfCauchy, HalfNormal, Pareto, Weibull
from clgrad.distributions.gamma import Beta, Chi2, Dirichlet, FisherSnedecor, Gamma, StudentT
from clgrad.distributions.generalized_pareto import GeneralizedPareto
from clgrad.distributions.inverse_gamma import InverseGamma
from clgrad.distributions.kl import kl_divergence, register_kl
from clgrad.distributions.lkj_cholesky import LKJCholesky
from clgrad.distributions.multivariate_normal import LowRankMultivariateNormal, MultivariateNormal
from clgrad.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from clgrad.distributions.wishart import Wishart

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "CatTransform", "Categorical", "Cauchy", "Chi2",
    "ComposeTransform", "ConstraintRegistry", "ContinuousBernoulli", "CorrCholeskyTransform",
    "CumulativeDistributionTransform", "Dirichlet", "Distribution", "ExpTransform", "Exponential", "ExponentialFamily",
    "FisherSnedecor", "Gamma", "GeneralizedPareto", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal", "Independent",
    "IndependentTransform", "InverseGamma", "Kumaraswamy", "LKJCholesky", "Laplace", "LogNormal", "LogisticNormal",
    "LogitRelaxedBernoulli", "LowRankMultivariateNormal", "LowerCholeskyTransform", "MixtureSameFamily", "Multinomial",
    "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical", "OneHotCategoricalStraightThrough",
    "Pareto", "Poisson", "PositiveDefiniteTransform", "PowerTransform", "RelaxedBernoulli", "RelaxedOneHotCategorical",
    "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform", "StackTransform",
    "StickBreakingTransform", "StudentT", "TanhTransform", "Transform", "TransformedDistribution", "Uniform",
    "VonMises", "Weibull", "Wishart", "biject_to", "constraints", "identity_transform", "kl", "kl_across", "kl_divergence",
    "register_kl", "transform_to", "transforms", "utils",
]
