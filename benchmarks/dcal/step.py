"""DCAL-DeiT-Tiny against its bare backbone: a training step of three branches, inference, parameters and FLOPs."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import compare
from lib import create_dcal_model
from lib.dcal import DCALNet

NAME, CLASSES, BATCH = "deit_tiny_patch16_224", 200, 4


def bare_step(vit: nn.Module, images: Tensor, labels: Tensor) -> None:
    cross_entropy(vit(images), labels).backward()


def dcal_step(model: DCALNet, images: Tensor, labels: Tensor) -> None:
    found = model.branches(images, partners=torch.arange(len(images), device=images.device).roll(1))
    model.compute_loss(found.sa, found.glca, labels, cross_entropy, found.pwca).backward()


def flops(work: nn.Module, *inputs: Tensor) -> int:
    # The counter knows no fused attention on a CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work(*inputs)
    return counter.get_total_flops()


def main() -> None:
    torch.manual_seed(0)
    for size in (224, 448):
        model = create_dcal_model(NAME, CLASSES, img_size=size)
        vit = create_dcal_model(NAME, CLASSES, img_size=size, glca=False, pwca=False).vit
        images, labels = torch.randn(BATCH, 3, size, size), torch.arange(BATCH)
        ours, theirs = compare(
            lambda m=model, x=images, y=labels: dcal_step(m, x, y), lambda m=vit, x=images, y=labels: bare_step(m, x, y)
        )
        print(f"{size}²: training step {1e3 * ours:.0f} ms against {1e3 * theirs:.0f} ms, {ours / theirs:.2f} ×")
        model.eval(), vit.eval()
        with torch.inference_mode():
            ours, theirs = compare(lambda m=model, x=images: m.inference(x), lambda m=vit, x=images: m(x).softmax(1))
        print(
            f"{size}²: inference with rollout {1e3 * ours:.0f} ms against {1e3 * theirs:.0f} ms, {ours / theirs:.2f} ×"
        )
        tokens = torch.randn(1, vit.patch_embed.num_patches + 1, vit.embed_dim)
        extra, base = flops(model.glca, tokens, tokens[:, 1:, 0]), flops(vit, images[:1])
        print(f"{size}²: FLOPs of the GLCA block {100 * extra / base:+.1f} % of the backbone's")
    parts = model.count_parameters()
    extra = parts["total"] - parts["backbone"]
    print(
        f"parameters {extra / 1e6:.2f} M beside {parts['backbone'] / 1e6:.2f} M, {100 * extra / parts['backbone']:+.1f} %"
    )


if __name__ == "__main__":
    main()
