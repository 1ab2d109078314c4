"""Convolution, self-attention and LESA under one small Mask R-CNN, on drawn scenes: the paper's comparison on COCO in miniature.

The three detectors differ in the layers of `layer3` and `layer4` alone, start from the same draws where they can, and see
the same scenes in the same order. Average precision is COCO's, by pycocotools.
"""

import contextlib
import io
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from lib.backbones import build_backbone
from lib.data.phantoms.scenes import SHAPES, Scene
from lib.lesa import LESA
from lib.lesa.create import paper_blocks
from lib.lesa.detection import with_pyramid
from lib.lesa.layer import SelfAttention
from lib.lesa.model import insert_lesa
from lib.progress import Progress
from lib.training.metrics import reach

LAYERS: dict[str, type[SelfAttention] | None] = {"convolution": None, "self-attention": SelfAttention, "LESA": LESA}
GROUPS = 4
DETECTIONS = 10  # of a scene at most
RESAMPLES = 200
AT_A_TIME = 25  # scenes

Found = dict[str, Tensor]  # of a scene: boxes [n, 4], labels [n], scores [n], masks [n, 1, H, W]


def build_detector(layer: type[SelfAttention] | None, side: int, seed: int = 0) -> MaskRCNN:
    """A Mask R-CNN of a tenth of a second a step, for scenes of `side` pixels; `layer` None keeps the convolutions."""
    torch.manual_seed(seed)
    net = build_backbone("resnet26_small", len(SHAPES)).net
    if layer is not None:
        insert_lesa(net, paper_blocks(net), "detection_qr", (side, side), GROUPS, layer)
    classes, width = len(SHAPES) + 1, 32
    return MaskRCNN(
        with_pyramid(net, width),
        min_size=side,
        max_size=side,
        rpn_anchor_generator=AnchorGenerator(tuple((size,) for size in (12, 18, 24, 32, 48)), ((1.0,),) * 5),
        rpn_fg_iou_thresh=0.5,
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, sampling_ratio=1),
        box_head=TwoMLPHead(7 * 7 * width, 2 * width),
        box_predictor=FastRCNNPredictor(2 * width, classes),
        mask_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, sampling_ratio=1),
        mask_head=MaskRCNNHeads(width, (width // 2,), 1),
        mask_predictor=MaskRCNNPredictor(width // 2, width // 2, classes),
        rpn_pre_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=64,
        rpn_post_nms_top_n_test=64,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=32,
        box_positive_fraction=0.5,
        box_detections_per_img=DETECTIONS,
    )


def train_detector(model: MaskRCNN, scenes: Sequence[Scene], steps: int, batch: int = 4, lr: float = 2e-3) -> float:
    """Train with AdamW and one cycle of the rate; returns the seconds that it took."""
    began, parameters = time.monotonic(), [*model.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    order = torch.Generator().manual_seed(0)
    targets = [_target(scene) for scene in scenes]
    model.train()
    with Progress(steps, "training a detector", "steps") as bar:
        for _ in range(steps):
            chosen = torch.randint(len(scenes), (batch,), generator=order).tolist()
            losses = model([to_tensor(scenes[i]) for i in chosen], [targets[i] for i in chosen])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
            bar.advance()
    return time.monotonic() - began


@torch.inference_mode()
def detect(model: MaskRCNN, scenes: Sequence[Scene]) -> list[Found]:
    """What the detector finds in each scene, the surest first."""
    model.eval()
    batches = (scenes[i : i + AT_A_TIME] for i in range(0, len(scenes), AT_A_TIME))  # half of the time of one by one
    return [found for batch in batches for found in model([to_tensor(scene) for scene in batch])]


@torch.inference_mode()
def gates(model: MaskRCNN, scenes: Sequence[Scene]) -> np.ndarray:
    """ω of the last LESA layer in each scene, mean over channels, [N, h, w]."""
    *_, layer = (module for module in model.modules() if isinstance(module, LESA))
    model.eval()
    found = []
    for scene in scenes:
        model([to_tensor(scene)])
        found.append(layer.maps()["gate"][0].mean(dim=0).numpy())
    return np.stack(found)


def to_tensor(scene: Scene) -> Tensor:
    """[3, H, W] in [0, 1]"""
    return torch.from_numpy(scene.image).permute(2, 0, 1).float() / 255


def _target(scene: Scene) -> dict[str, Tensor]:
    masks = torch.from_numpy(scene.masks).to(torch.uint8)
    labels = torch.from_numpy(scene.labels) + 1  # 0 is the background
    return {"boxes": torch.from_numpy(scene.boxes), "labels": labels, "masks": masks}


def average_precision(scenes: Sequence[Scene], found: Sequence[Found], kind: str = "bbox") -> np.ndarray:
    """COCO's AP (mean over IoU from 0.50 to 0.95 and over shapes) and that at 0.50 alone, of the scenes as they are and of
    resamples of them, [2, 1 + RESAMPLES].

    `kind` is "bbox" or "segm".
    """
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it tells of every step
        truth = _truth(scenes)
        answers = [answer for i, each in enumerate(found) for answer in _answers(i, each)]
        if not answers:
            return np.zeros((2, 1 + RESAMPLES))
        measured = COCOeval(truth, truth.loadRes(answers), kind)
        measured.params.areaRng, measured.params.areaRngLbl = [[0, 1e10]], ["all"]
        measured.params.maxDets = [DETECTIONS]
        measured.evaluate()
        per_class = np.array(measured.evalImgs, dtype=object).reshape(len(SHAPES), len(scenes))
        rng, values = np.random.default_rng(0), []
        for draw in [np.arange(len(scenes)), *rng.integers(len(scenes), size=(RESAMPLES, len(scenes)))]:
            measured.evalImgs = per_class[:, draw].ravel().tolist()
            measured.accumulate()
            precision = measured.eval["precision"]  # by IoU first
            values.append([each[each > -1].mean() for each in (precision, precision[0])])
    return np.transpose(values)


def interval(samples: np.ndarray) -> tuple[float, float, float]:
    """The value, and the 95 % interval over the scenes: another training of the same detector may lie outside it."""
    below, above = reach(samples[1:])
    return float(samples[0]), float(max(samples[0] - below, 0)), float(min(samples[0] + above, 1))


def precision_table(
    scenes: Sequence[Scene], finds: Mapping[str, Sequence[Found]], seconds: Mapping[str, float]
) -> Styler:
    """Boxes and outlines of each detector in AP, with 95 % intervals over the scenes, and how long its training took."""
    rows = {}
    for name, found in finds.items():
        boxes, outlines = (average_precision(scenes, found, kind) for kind in ("bbox", "segm"))
        values = {"AP, boxes": boxes[0], "AP 0.50, boxes": boxes[1], "AP, outlines": outlines[0]}
        texts = {column: "{:.3f} [{:.3f}, {:.3f}]".format(*interval(samples)) for column, samples in values.items()}
        rows[name] = texts | {"training (s)": f"{seconds[name]:.0f}"}
    caption = f"COCO's average precision on {len(scenes)} drawn scenes; intervals over the scenes, one training each"
    return pd.DataFrame(rows).T.style.set_caption(caption)


def _truth(scenes: Sequence[Scene]):  # -> pycocotools.coco.COCO
    from pycocotools import mask as runs
    from pycocotools.coco import COCO

    objects = [
        (i, label, box, runs.encode(np.asfortranarray(mask, dtype=np.uint8)))
        for i, scene in enumerate(scenes)
        for label, box, mask in zip(scene.labels.tolist(), scene.boxes.tolist(), scene.masks, strict=True)
    ]
    annotations = [
        {
            "id": number, "image_id": i, "category_id": label + 1, "bbox": _sides(box), "iscrowd": 0,
            "segmentation": mask, "area": float(runs.area(mask)),
        }
        for number, (i, label, box, mask) in enumerate(objects, start=1)
    ]  # fmt: skip
    coco = COCO()
    height, width = scenes[0].image.shape[:2]
    coco.dataset = {
        "images": [{"id": i, "height": height, "width": width} for i in range(len(scenes))],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(SHAPES, start=1)],
    }
    coco.createIndex()
    return coco


def _answers(image: int, found: Mapping[str, Tensor]) -> list[dict]:
    from pycocotools import mask as runs

    masks = (found["masks"][:, 0] > 0.5).to(torch.uint8).cpu().numpy()
    rows = zip(*(found[name].tolist() for name in ("labels", "scores", "boxes")), masks, strict=True)
    return [
        {
            "image_id": image, "category_id": label, "score": score, "bbox": _sides(box),
            "segmentation": runs.encode(np.asfortranarray(mask)),
        }
        for label, score, box, mask in rows
    ]  # fmt: skip


def _sides(box: Sequence[float]) -> list[float]:
    """COCO's box: x, y, width, height."""
    x, y, right, bottom = box
    return [x, y, right - x, bottom - y]
