"""Pictures: transforms, data sets, models, in torchvision's shape."""
