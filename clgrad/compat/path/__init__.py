"""A folder for the import path of child processes: its torch.py and torchvision.py install the mapping."""
