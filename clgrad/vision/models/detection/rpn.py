"""Region proposal networks (Ren et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad import dtypes, nn
from clgrad.creation import arange, full, zeros
from clgrad.nn import functional as F
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.detection.anchor_utils import AnchorGenerator
from clgrad.vision.models.detection.image_list import ImageList
from clgrad.vision.models.detection.matching import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from clgrad.vision.ops import boxes as box_ops
from clgrad.vision.ops.misc import Conv2dNormActivation, renamed

__all__ = ["AnchorGenerator", "RPNHead", "RegionProposalNetwork"]

_cat, _where = FUNCTIONS["cat"], FUNCTIONS["where"]


def per_anchor(layer: Any, columns: int) -> Any:
    """(n, anchors * columns, h, w) as (n, h * w * anchors, columns)."""
    count, _, height, width = layer.shape
    return layer.reshape(count, -1, columns, height, width).permute(0, 3, 4, 1, 2).reshape(count, -1, columns)


class RPNHead(nn.Module):
    """Scores of anchors, and codes of the boxes that they become.

    Args:
        in_channels: of the feature maps.
        num_anchors: for each pixel.
        conv_depth: how many 3x3 convolutions come first.
    """

    _version = 2  # the convolution stands in a block

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1):
        super().__init__()
        self.conv = nn.Sequential(*(Conv2dNormActivation(in_channels, in_channels, norm_layer=None)
                                    for _ in range(conv_depth)))
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, 4 * num_anchors, 1)
        initialise_narrowly(self)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict, *args: Any) -> None:
        if (local_metadata.get("version") or 1) < 2:
            renamed(state_dict, f"{prefix}conv", f"{prefix}conv.0.0")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def forward(self, x: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """For each map scores (n, anchors, h, w) and codes (n, 4 * anchors, h, w)."""
        seen = [self.conv(one) for one in x]
        return [self.cls_logits(one) for one in seen], [self.bbox_pred(one) for one in seen]


def initialise_narrowly(head: nn.Module, std: float = 0.01) -> None:
    """Normal weights of all convolutions with deviation ``std``, and biases of zero."""
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class RegionProposalNetwork(nn.Module):
    """Proposes boxes in which there may be something.

    Args:
        anchor_generator: the boxes that it begins with.
        head: scores and codes of them.
        fg_iou_thresh, bg_iou_thresh: from the first overlap on an anchor belongs to a truth, below the second to none.
        batch_size_per_image, positive_fraction: how many anchors the losses look at, and the part that belongs to truths.
        pre_nms_top_n, post_nms_top_n: how many of each map, and of each picture, stay before and after boxes that overlap are
            dropped; dicts with ``training`` and ``testing``.
        nms_thresh: boxes that overlap more are dropped.
        score_thresh: so are boxes with smaller probabilities.
    """

    def __init__(self, anchor_generator: Any, head: nn.Module, fg_iou_thresh: float, bg_iou_thresh: float,
                 batch_size_per_image: int, positive_fraction: float, pre_nms_top_n: dict[str, int],
                 post_nms_top_n: dict[str, int], nms_thresh: float, score_thresh: float = 0.0):
        super().__init__()
        self.anchor_generator, self.head = anchor_generator, head
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.box_similarity = box_ops.box_iou
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=True)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self._pre_nms_top_n, self._post_nms_top_n = pre_nms_top_n, post_nms_top_n
        self.nms_thresh, self.score_thresh, self.min_size = nms_thresh, score_thresh, 1e-3

    def pre_nms_top_n(self) -> int:
        """How many boxes of a map stay before those that overlap are dropped."""
        return self._pre_nms_top_n["training" if self.training else "testing"]

    def post_nms_top_n(self) -> int:
        """How many boxes of a picture stay."""
        return self._post_nms_top_n["training" if self.training else "testing"]

    def assign_targets_to_anchors(self, anchors: Sequence[Any], targets: Sequence[dict]) -> tuple[list[Any], list[Any]]:
        """For each picture the anchors' labels (1: of a truth, 0: of none, -1: left out) and their truths' boxes."""
        labels, matched = [], []
        for boxes, target in zip(anchors, targets, strict=True):
            truths = target["boxes"]
            if not truths.numel():
                labels.append(zeros(len(boxes), dtype=dtypes.float32, device=boxes.device))
                matched.append(zeros(boxes.shape, dtype=dtypes.float32, device=boxes.device))
                continue
            numbers = self.proposal_matcher(self.box_similarity(truths, boxes))
            labels.append((numbers >= 0).float() - (numbers == Matcher.BETWEEN_THRESHOLDS).float())
            matched.append(truths[numbers.clamp(min=0)])
        return labels, matched

    def filter_proposals(self, proposals: Any, objectness: Any, image_shapes: Sequence[tuple[int, int]],
                         num_anchors_per_level: Sequence[int]) -> tuple[list[Any], list[Any]]:
        """The best boxes of each picture and their probabilities, without those that are small or overlap better ones.

        Args:
            proposals: (n, anchors, 4).
            objectness: (n, anchors) or flat, scores.
        """
        count, device = len(proposals), proposals.device
        objectness = objectness.detach().reshape(count, -1)
        best, first = [], 0
        for scores in objectness.split(list(num_anchors_per_level), 1):
            best.append(scores.topk(min(self.pre_nms_top_n(), scores.shape[1]), dim=1)[1] + first)
            first += scores.shape[1]
        levels = _cat([full((one.shape[1],), number, dtype=dtypes.int64, device=device) for number, one in enumerate(best)])
        chosen, picture = _cat(best, 1), arange(count, device=device)[:, None]
        found, probabilities = [], []
        for boxes, scores, size in zip(proposals[picture, chosen], objectness[picture, chosen].sigmoid(), image_shapes,
                                       strict=True):
            boxes = box_ops.clip_boxes_to_image(boxes, size)
            sides = boxes[:, 2:] - boxes[:, :2]
            keep = _where((sides >= self.min_size).all(1) & (scores >= self.score_thresh))[0]
            boxes, scores = boxes[keep], scores[keep]
            keep = box_ops.batched_nms(boxes, scores, levels[keep], self.nms_thresh)[:self.post_nms_top_n()]
            found.append(boxes[keep])
            probabilities.append(scores[keep])
        return found, probabilities

    def compute_loss(self, objectness: Any, pred_bbox_deltas: Any, labels: Sequence[Any],
                     regression_targets: Sequence[Any]) -> tuple[Any, Any]:
        """The losses of the scores and of the codes, of the anchors that are drawn."""
        positive, negative = (_where(_cat(masks))[0] for masks in self.fg_bg_sampler(labels))
        drawn = _cat([positive, negative])
        box_loss = F.smooth_l1_loss(pred_bbox_deltas[positive], _cat(list(regression_targets))[positive], beta=1 / 9,
                                    reduction="sum") / len(drawn)
        return F.binary_cross_entropy_with_logits(objectness.flatten()[drawn], _cat(list(labels))[drawn]), box_loss

    def forward(self, images: ImageList, features: dict[str, Any],
                targets: Sequence[dict] | None = None) -> tuple[list[Any], dict[str, Any]]:
        """For each picture the boxes that are proposed; while training the losses as well.

        Raises:
            ValueError: targets are missing while training.
        """
        maps = list(features.values())
        scores, codes = self.head(maps)
        anchors = self.anchor_generator(images, maps)
        per_level = [one[0].numel() for one in scores]
        objectness = _cat([per_anchor(one, 1) for one in scores], 1).flatten(0, 1)
        deltas = _cat([per_anchor(one, 4) for one in codes], 1).flatten(0, 1)
        proposals = self.box_coder.decode(deltas.detach(), anchors).reshape(len(anchors), -1, 4)
        boxes, _ = self.filter_proposals(proposals, objectness, images.image_sizes, per_level)
        if not self.training:
            return boxes, {}
        if targets is None:
            raise ValueError("targets should not be None")
        labels, matched = self.assign_targets_to_anchors(anchors, targets)
        loss, box_loss = self.compute_loss(objectness, deltas, labels, self.box_coder.encode(matched, anchors))
        return boxes, {"loss_objectness": loss, "loss_rpn_box_reg": box_loss}
