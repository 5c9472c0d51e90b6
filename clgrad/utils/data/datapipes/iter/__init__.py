"""Pipes whose elements come one after the other. Their names are PyTorch's, with and without ``IterDataPipe``."""

from clgrad.utils.data.datapipes.iter.combining import (
    ConcaterIterDataPipe,
    DemultiplexerIterDataPipe,
    ForkerIterDataPipe,
    MultiplexerIterDataPipe,
    ZipperIterDataPipe,
)
from clgrad.utils.data.datapipes.iter.elements import (
    CollatorIterDataPipe,
    FilterIterDataPipe,
    IterableWrapperIterDataPipe,
    MapperIterDataPipe,
    SamplerIterDataPipe,
    ShardingFilterIterDataPipe,
    ShufflerIterDataPipe,
)
from clgrad.utils.data.datapipes.iter.files import FileListerIterDataPipe, FileOpenerIterDataPipe, StreamReaderIterDataPipe
from clgrad.utils.data.datapipes.iter.grouping import BatcherIterDataPipe, GrouperIterDataPipe, UnBatcherIterDataPipe

__all__ = ["Batcher", "Collator", "Concater", "Demultiplexer", "FileLister", "FileOpener", "Filter", "Forker", "Grouper",
           "IterableWrapper", "Mapper", "Multiplexer", "Sampler", "ShardingFilter", "Shuffler", "StreamReader", "UnBatcher",
           "Zipper"]

Batcher, Grouper, UnBatcher = BatcherIterDataPipe, GrouperIterDataPipe, UnBatcherIterDataPipe
Collator, Filter, Mapper = CollatorIterDataPipe, FilterIterDataPipe, MapperIterDataPipe
IterableWrapper, Sampler = IterableWrapperIterDataPipe, SamplerIterDataPipe
ShardingFilter, Shuffler = ShardingFilterIterDataPipe, ShufflerIterDataPipe
Concater, Multiplexer, Zipper = ConcaterIterDataPipe, MultiplexerIterDataPipe, ZipperIterDataPipe
Demultiplexer, Forker = DemultiplexerIterDataPipe, ForkerIterDataPipe
FileLister, FileOpener, StreamReader = FileListerIterDataPipe, FileOpenerIterDataPipe, StreamReaderIterDataPipe
