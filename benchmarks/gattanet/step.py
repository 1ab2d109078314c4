"""One training step of GAttANet, two passes and ResNet18 from `layer2` on, against its bare backbone: time, parameters."""

import torch

from benchmarks.glsa.step import BATCH, SIZE, step
from benchmarks.timing import compare
from lib import create_model

MOST = 1.8  # of the backbone's step, with two passes
CLASSES = 7


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    bare = create_model("resnet18", num_classes=CLASSES, pretrained=False, attn_type="none")
    bare.to(device, memory_format=torch.channels_last)
    for passes in (1, 2, 3):
        model = create_model("resnet18", num_classes=CLASSES, pretrained=False, attn_type="gatta", passes=passes)
        model.to(device, memory_format=torch.channels_last)
        with_agreement, without = compare(lambda m=model: step(m, images), lambda: step(bare, images))
        parameters = [m.count_parameters()["total"] for m in (model, bare)]
        ratio = with_agreement / without
        wanted = f", at most {MOST} wanted" if passes == 2 else ""
        print(
            f"resnet18 at {SIZE}², batch {BATCH}, {device}, passes={passes}: step {1e3 * with_agreement:.0f} ms against "
            f"{1e3 * without:.0f} ms ({ratio:.2f} ×{wanted}), parameters {parameters[0] / 1e6:.2f} M against "
            f"{parameters[1] / 1e6:.2f} M ({parameters[0] / parameters[1]:.3f} ×)"
        )


if __name__ == "__main__":
    main()
