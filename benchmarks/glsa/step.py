"""One training step of GLSA against its bare backbone: time and parameters."""

import torch
from torch import nn

from benchmarks.timing import compare
from lib import create_model

BATCH, SIZE = 8, 224


def step(model: nn.Module, images: torch.Tensor) -> None:
    """Forward and backward in bfloat16, as the trainer does."""
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        loss = model(images).float().logsumexp(dim=1).mean()
    loss.backward()
    if images.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    for name in ("resnet18", "resnet50"):
        models = [
            create_model(name, num_classes=7, pretrained=False, attn_type=attention) for attention in ("CBAM", "none")
        ]
        glsa, bare = (m.to(device, memory_format=torch.channels_last) for m in models)
        with_block, without = compare(lambda m=glsa: step(m, images), lambda m=bare: step(m, images))
        parameters = [m.count_parameters()["total"] for m in (glsa, bare)]
        print(
            f"{name} at {SIZE}², batch {BATCH}, {device}: step {1e3 * with_block:.0f} ms against {1e3 * without:.0f} ms "
            f"({with_block / without:.2f} ×), parameters {parameters[0] / 1e6:.1f} M against {parameters[1] / 1e6:.1f} M "
            f"({parameters[0] / parameters[1]:.2f} ×)"
        )


if __name__ == "__main__":
    main()
