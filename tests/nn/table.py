"""Modules that are compared with PyTorch's: name, arguments, shapes of the inputs."""

from __future__ import annotations

IMAGE, LINE, ROWS = (2, 4, 6, 6), (2, 4, 9), (3, 8)

ROWS_OF_MODULES = [
    ("Identity", {}, [ROWS]),
    ("Linear", {"in_features": 8, "out_features": 5}, [ROWS]),
    ("Linear", {"in_features": 8, "out_features": 5, "bias": False}, [(2, 3, 8)]),
    ("Bilinear", {"in1_features": 3, "in2_features": 4, "out_features": 5}, [(2, 6, 3), (2, 6, 4)]),
    ("Conv1d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1}, [LINE]),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3}, [IMAGE]),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0),
                "bias": False}, [IMAGE]),
    ("Conv2d", {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": "same", "groups": 2,
                "dilation": 2}, [IMAGE]),
    ("Conv2d", {"in_channels": 4, "out_channels": 2, "kernel_size": 2, "padding": "same"}, [IMAGE]),
    ("ConvTranspose2d", {"in_channels": 4, "out_channels": 3, "kernel_size": 3, "stride": 2, "padding": 1,
                         "output_padding": 1}, [IMAGE]),
    ("MaxPool1d", {"kernel_size": 3, "stride": 2}, [LINE]),
    ("MaxPool2d", {"kernel_size": 2}, [IMAGE]),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}, [IMAGE]),
    ("AvgPool1d", {"kernel_size": 3, "stride": 2, "padding": 1}, [LINE]),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}, [IMAGE]),
    ("AdaptiveAvgPool1d", {"output_size": 4}, [LINE]),
    ("AdaptiveAvgPool2d", {"output_size": (3, 4)}, [IMAGE]),
    ("AdaptiveMaxPool2d", {"output_size": (3, None)}, [IMAGE]),
    ("ReLU", {}, [ROWS]), ("ReLU6", {}, [ROWS]), ("SiLU", {}, [ROWS]), ("Mish", {}, [ROWS]), ("SELU", {}, [ROWS]),
    ("Hardswish", {}, [ROWS]), ("Hardsigmoid", {}, [ROWS]), ("Sigmoid", {}, [ROWS]), ("Tanh", {}, [ROWS]),
    ("LogSigmoid", {}, [ROWS]), ("Softsign", {}, [ROWS]), ("Tanhshrink", {}, [ROWS]), ("GLU", {"dim": 1}, [ROWS]),
    ("ELU", {"alpha": 0.7}, [ROWS]), ("CELU", {"alpha": 0.7}, [ROWS]), ("LeakyReLU", {"negative_slope": 0.2}, [ROWS]),
    ("Hardtanh", {"min_val": -0.5, "max_val": 0.7}, [ROWS]), ("Threshold", {"threshold": 0.1, "value": 2.0}, [ROWS]),
    ("Softplus", {"beta": 2.0, "threshold": 1.5}, [ROWS]), ("Hardshrink", {"lambd": 0.3}, [ROWS]),
    ("Softshrink", {"lambd": 0.3}, [ROWS]), ("GELU", {}, [ROWS]), ("GELU", {"approximate": "tanh"}, [ROWS]),
    ("PReLU", {}, [ROWS]), ("PReLU", {"num_parameters": 4, "init": 0.1}, [IMAGE]),
    ("Softmax", {"dim": 1}, [ROWS]), ("Softmin", {"dim": 0}, [ROWS]), ("LogSoftmax", {"dim": -1}, [ROWS]),
    ("Softmax2d", {}, [IMAGE]),
    ("Flatten", {}, [IMAGE]), ("Unflatten", {"dim": 1, "unflattened_size": (2, 4)}, [ROWS]),
    ("BatchNorm1d", {"num_features": 8}, [ROWS]), ("BatchNorm1d", {"num_features": 4, "momentum": None}, [LINE]),
    ("BatchNorm2d", {"num_features": 4, "eps": 1e-3, "momentum": 0.3}, [IMAGE]),
    ("BatchNorm2d", {"num_features": 4, "affine": False, "track_running_stats": False}, [IMAGE]),
    ("LayerNorm", {"normalized_shape": 8}, [ROWS]), ("LayerNorm", {"normalized_shape": (6, 6), "bias": False}, [IMAGE]),
    ("RMSNorm", {"normalized_shape": (8,)}, [ROWS]),
    ("GroupNorm", {"num_groups": 2, "num_channels": 4}, [IMAGE]),
    ("Dropout", {"p": 0.0}, [ROWS]),
]

LOSSES = [
    ("CrossEntropyLoss", {}, "classes"), ("CrossEntropyLoss", {"label_smoothing": 0.1, "reduction": "sum"}, "classes"),
    ("CrossEntropyLoss", {"reduction": "none", "ignore_index": 1}, "classes"),
    ("NLLLoss", {}, "classes"), ("MSELoss", {}, "values"), ("MSELoss", {"reduction": "sum"}, "values"),
    ("L1Loss", {"reduction": "none"}, "values"), ("SmoothL1Loss", {"beta": 0.5}, "values"),
    ("HuberLoss", {"delta": 0.7}, "values"), ("BCELoss", {}, "probabilities"),
    ("BCEWithLogitsLoss", {}, "targets"), ("KLDivLoss", {"reduction": "batchmean"}, "targets"),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, "values"), ("PoissonNLLLoss", {}, "targets"),
    ("PoissonNLLLoss", {"log_input": False, "full": True}, "probabilities"), ("SoftMarginLoss", {}, "signs"),
    ("HingeEmbeddingLoss", {"margin": 0.5}, "signs"),
]
