"""Data sets of pictures: known ones in the files in which they are published, folders, generated ones."""

from clgrad.vision.datasets.cifar import CIFAR10, CIFAR100
from clgrad.vision.datasets.dataset import VisionDataset
from clgrad.vision.datasets.digits import Digits
from clgrad.vision.datasets.fake import FakeData
from clgrad.vision.datasets.folder import DatasetFolder, ImageFolder
from clgrad.vision.datasets.mnist import EMNIST, KMNIST, MNIST, FashionMNIST

__all__ = ["CIFAR10", "CIFAR100", "DatasetFolder", "Digits", "EMNIST", "FakeData", "FashionMNIST", "ImageFolder", "KMNIST",
           "MNIST", "VisionDataset"]
