"""Data sets, samplers and the loader that makes batches of them.

>>> import clgrad
>>> from clgrad.utils.data import DataLoader, TensorDataset
>>> pairs = TensorDataset(clgrad.arange(4), clgrad.arange(4) * 10)
>>> [[x.tolist(), y.tolist()] for x, y in DataLoader(pairs, batch_size=3)]
[[[0, 1, 2], [0, 10, 20]], [[3], [30]]]
"""

from clgrad.utils.data.collate import default_collate, default_convert
from clgrad.utils.data.datapipes.datapipe import DataChunk, IterDataPipe, MapDataPipe, functional_datapipe
from clgrad.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from clgrad.utils.data.distributed import DistributedSampler
from clgrad.utils.data.loader import DataLoader
from clgrad.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from clgrad.utils.data.worker import get_worker_info

__all__ = ["BatchSampler", "ChainDataset", "ConcatDataset", "DataChunk", "DataLoader", "Dataset", "DistributedSampler",
           "IterDataPipe", "IterableDataset", "MapDataPipe", "RandomSampler", "Sampler", "SequentialSampler", "StackDataset",
           "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "default_collate", "default_convert",
           "functional_datapipe", "get_worker_info", "random_split"]
