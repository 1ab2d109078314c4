#!/bin/sh
# torch 2.14.1, CPU: the gradient of BatchNorm is silently wrong for a batch of one whose maps are read as tokens afterwards.
#
# The network is a stem as many vision transformers have it: Conv2d, BatchNorm2d, flatten(2).transpose(1, 2), LayerNorm.
# Going back, the gradient comes to the BatchNorm with the strides of tokens (channels last), while what it normalised is
# contiguous. Alone in its batch, an image gets another gradient than it should, in evaluation as in training and in float32
# as in float64, so that saliency maps, integrated gradients and attacks, which are made of single images, are of no use. The
# answers are right, and so is the gradient of the same image within a batch of two. A `.contiguous()` on the gradient that
# comes to the BatchNorm helps, e.g. by a hook on its output.
# Seen with Python 3.11, torch 2.14.1 on 30 November 2026: in evaluation, in float64, it is off by 1.03 where its greatest
# value is 0.90; in a batch of two, and alone with that hook, by 9e-9 of finite differences.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.3.5
cat > "$folder/look.py" <<'PYTHON'
import torch
from torch import nn

torch.manual_seed(0)
stem, norm, tokens_norm = nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.LayerNorm(8)
network = nn.ModuleList([stem, norm, tokens_norm]).requires_grad_(False)
images = torch.randn(2, 3, 16, 16, dtype=torch.float64)


def answers(images, contiguous=False):
    maps = norm(stem(images))
    if contiguous:
        maps.register_hook(lambda gradient: gradient.contiguous())
    return tokens_norm(maps.flatten(2).transpose(1, 2)).tanh().square().sum((1, 2))


def gradient(images, **how):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(answers(images, **how).sum(), images)[0][0]


def by_differences(image, step=1e-6):
    moves = step * torch.eye(image.numel(), dtype=image.dtype).view(-1, *image.shape)
    return ((answers(image + moves) - answers(image - moves)) / (2 * step)).view_as(image)


for kind in (torch.float32, torch.float64):
    for training in (True, False):
        network.to(kind).train(training)
        image = images[:1].to(kind)
        alone, helped = gradient(image), gradient(image, contiguous=True)
        off = (alone - helped).abs().max().item()
        print(kind, "training" if training else "evaluation", "off by", off, "of", helped.abs().max().item())
        assert off > 0.1

right = by_differences(images[0])  # what is left is evaluation in float64
off = [(each - right).abs().max().item() for each in (alone, gradient(images), helped)]
print("off alone, in a batch of two, alone with a contiguous gradient:", *off)
assert torch.allclose(answers(images[:1]), answers(images)[:1])
assert off[0] > 0.1
assert max(off[1:]) < 1e-6
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
