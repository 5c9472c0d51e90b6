"""Private names that programs import from PyTorch's modules, and where clgrad has what they name."""

from __future__ import annotations

_STANDINS = "clgrad.compat.standins"

# By PyTorch's module, the names that it has besides clgrad's: those of one origin in a string.
PRIVATE = {
    "torch.autograd": {"clgrad.overrides": "handle_torch_function has_torch_function"},
    "torch.autograd.grad_mode": {f"{_STANDINS}.contexts": "_DecoratorContextManager"},
    "torch.autograd.function": {f"{_STANDINS}.functions": "InplaceFunction"},
    "torch.distributed": {f"{_STANDINS}.distributed.device_mesh": "DeviceMesh init_device_mesh"},
    "torch.distributions": {
        f"{_STANDINS}.gaussians": "_batch_mahalanobis _batch_mv _precision_to_scale_tril",
        "clgrad.distributions.utils": "_standard_normal"},
    "torch.distributions.constraints": {f"{_STANDINS}.constraints":
                                        "_Cat _DependentProperty _GreaterThan _GreaterThanEq _HalfOpenInterval "
                                        "_IndependentConstraint _IntegerGreaterThan _IntegerInterval _IntegerLessThan "
                                        "_Interval _LessThan _Multinomial _Stack"},
    "torch.distributions.transforms": {"clgrad.distributions.transform": "_InverseTransform",
                                       "clgrad.distributions.utils": "_sum_rightmost lazy_property"},
    "torch.nn.functional": {"clgrad": "Tensor",
                            f"{_STANDINS}.attention": "_canonical_mask _in_projection _in_projection_packed "
                                                      "_mha_shape_check _none_or_dtype",
                            f"{_STANDINS}.layers": "_get_softmax_dim _list_with_default _verify_batch_size",
                            f"{_STANDINS}.ntuple": "_pair _single _triple", f"{_STANDINS}.reduction": "_Reduction",
                            "clgrad.overrides": "handle_torch_function has_torch_function has_torch_function_unary "
                                                "has_torch_function_variadic"},
    "torch.nn.init": {"clgrad": "Tensor",
                      f"{_STANDINS}.init": "_no_grad_fill_ _no_grad_normal_ _no_grad_trunc_normal_ _no_grad_uniform_ "
                                           "_no_grad_zero_"},
    "torch.nn.modules": {"clgrad.nn.modules.transformer": "_detect_is_causal_mask _generate_square_subsequent_mask "
                                                          "_get_activation_fn _get_clones _get_seq_len",
                         "clgrad.nn.modules.conv": "_ConvTransposeNd",
                         "clgrad.nn.modules.linear": "NonDynamicallyQuantizableLinear",
                         f"{_STANDINS}.ntuple": "_pair _single _triple",
                         f"{_STANDINS}.common_types": "_shape_t _size_1_t _size_2_t _size_3_t",
                         f"{_STANDINS}.layers": "_list_with_default _reverse_repeat_tuple",
                         f"{_STANDINS}.reduction": "_Reduction",
                         "clgrad.nn.init": "constant_ xavier_normal_ xavier_uniform_"},
    "torch.nn.modules.module": {"clgrad": "Tensor device dtype", "clgrad.nn": "Parameter", "collections": "OrderedDict"},
    "torch.nn.modules.normalization": {f"{_STANDINS}.common_types": "_shape_t"},
    "torch.optim.lr_scheduler": {"clgrad.optim": "Optimizer", f"{_STANDINS}.optimizer": "EPOCH_DEPRECATION_WARNING"},
    "torch.optim.optimizer": {f"{_STANDINS}.optimizer":
                              "ParamsT StateDict _default_to_fused_or_foreach _dispatch_sqrt _get_scalar_dtype _get_value "
                              "_stack_if_compiling _to_scalar _use_grad_for_differentiable"},
    "torch.serialization": {f"{_STANDINS}.storage_types": "normalize_storage_type"},
    "torch.utils.data.dataloader": {"clgrad.utils.data": "BatchSampler Dataset IterDataPipe IterableDataset MapDataPipe "
                                                         "RandomSampler Sampler SequentialSampler"},
    "torch._utils": {f"{_STANDINS}.flat_tensors": "_element_size _flatten_dense_tensors _take_tensors "
                                                  "_unflatten_dense_tensors"},
    "torchvision.models.detection.backbone_utils": {
        f"{_STANDINS}.detection_utils": "_mobilenet_extractor _resnet_fpn_extractor _validate_trainable_layers"},
    "torchvision.models.detection.faster_rcnn": {f"{_STANDINS}.detection_utils": "_default_anchorgen _resnet_fpn_extractor"},
    "torchvision.models.detection.ssd": {f"{_STANDINS}.detection_utils": "_vgg_extractor"},
}
