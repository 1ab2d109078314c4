"""DCAL-DeiT-Tiny against its bare backbone: a training step of three branches, inference, parameters and FLOPs."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from benchmarks.timing import side_by_side
from lib import create_dcal_model
from lib.dcal import DCALNet

NAME, CLASSES, BATCH = "deit_tiny_patch16_224", 200, 4
INFERENCE = {224: {}, 448: {"at_most": 1.18}}  # by size, what is wanted of inference


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


def rows(quick: bool = False) -> Iterator[Row]:
    torch.manual_seed(0)
    of_bare = "of the bare DeiT-Tiny"
    for size, wanted in INFERENCE.items():
        model = create_dcal_model(NAME, CLASSES, img_size=size)
        vit = create_dcal_model(NAME, CLASSES, img_size=size, glca=False, pwca=False).vit
        yield from compared(model, vit, size, 3 if quick else 9, wanted)
        tokens, image = torch.randn(1, vit.patch_embed.num_patches + 1, vit.embed_dim), torch.randn(1, 3, size, size)
        of_block = flops(model.glca, tokens, tokens[:, 1:, 0]) / 1e6
        yield of_counts(f"FLOPs of the GLCA block, {size}²", of_bare, of_block, flops(vit, image) / 1e6, "M")
    parts = model.count_parameters()
    yield of_counts("DCAL, parameters", of_bare, parts["total"], parts["backbone"])


def compared(model: DCALNet, vit: nn.Module, size: int, rounds: int, wanted: dict[str, float]) -> Iterator[Row]:
    """A training step and inference of both."""
    images, labels = torch.randn(BATCH, 3, size, size), torch.arange(BATCH)
    name, works = f"{size}², batch {BATCH}", ((dcal_step, model), (bare_step, vit))
    steps = [lambda step=step, net=net: step(net, images, labels) for step, net in works]
    yield side_by_side(f"DCAL, training step, {name}", "of the bare DeiT-Tiny", *steps, rounds=rounds)
    model.eval(), vit.eval()
    with torch.inference_mode():
        both = (lambda: model.inference(images), lambda: vit(images).softmax(1))
        yield side_by_side(f"DCAL, inference, {name}", "of the bare DeiT-Tiny", *both, rounds=rounds, **wanted)


if __name__ == "__main__":
    run(rows)
