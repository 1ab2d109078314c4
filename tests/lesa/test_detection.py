import pytest
import torch
from torchvision.models.detection import MaskRCNN

from lib.errors import WorkbookValueError
from lib.lesa import LESA, lesa_backbone


def drawn(height, width, generator):
    """An image with one bright rectangle, and its box, label and mask."""
    y, x = 8, 12
    image = torch.rand(3, height, width, generator=generator) * 0.3
    image[:, y : y + 30, x : x + 40] += 0.6
    mask = torch.zeros(1, height, width, dtype=torch.uint8)
    mask[:, y : y + 30, x : x + 40] = 1
    return image, {"boxes": torch.tensor([[x, y, x + 40.0, y + 30.0]]), "labels": torch.tensor([1]), "masks": mask}


def test_mask_rcnn_takes_a_training_step_and_infers():
    torch.manual_seed(0)
    backbone = lesa_backbone("resnet50", blocks={"layer3": [1], "layer4": [0, 1]}, image_size=(64, 96), out_channels=16)
    model = MaskRCNN(backbone, num_classes=2, min_size=64, max_size=96, rpn_post_nms_top_n_train=16)
    generator = torch.Generator().manual_seed(0)
    images, targets = zip(*(drawn(*size, generator) for size in ((64, 96), (72, 60))), strict=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loss = sum(model(images, targets).values())
    loss.backward()
    layers = [m for m in backbone.modules() if isinstance(m, LESA)]
    assert len(layers) == 3
    assert all(layer.context.position.rows.grad.abs().max() > 0 for layer in layers)
    optimizer.step()
    assert loss.isfinite()
    with torch.no_grad():
        found = model.eval()(images[1:])[0]
    assert found["masks"].shape[1:] == (1, 72, 60)


def test_the_pyramid_has_five_maps_for_any_size():
    backbone = lesa_backbone(blocks={"layer4": [0]}, image_size=(64, 64), out_channels=8).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 104))
    assert [tuple(m.shape[1:]) for m in maps.values()] == [(8, 16, 26), (8, 8, 13), (8, 4, 7), (8, 2, 4), (8, 1, 2)]


def test_mistakes_are_told_with_their_remedy():
    with pytest.raises(WorkbookValueError, match="Unknown ResNet with bottlenecks 'resnet18'. Did you mean 'resnet"):
        lesa_backbone("resnet18")
    with pytest.raises(WorkbookValueError, match="out_channels must be a whole number"):
        lesa_backbone(out_channels=0)
