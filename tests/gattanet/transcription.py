"""GAttANet on a small network, written down from the paper's equations (arXiv 2104.05575)."""

import torch
from torch import Tensor, nn

from lib.gattanet import GAttANet
from lib.toynet import ToyNet

LAYERS = ("conv1", "conv3", "dense1", "dense2")
SIZE = (3, 16, 16)


def toy(layers=LAYERS, alpha: float = 0.3, classes: int = 5, **options) -> GAttANet:
    """Agreement on a toy network, in float64, with statistics and α that are not those of the start."""
    torch.manual_seed(0)
    net = ToyNet(classes, width=4).double()
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    model = GAttANet(net, layers, **{"dim": 6, "input_size": SIZE} | options)
    for i, part in enumerate(model.agreement):
        part.alpha.data.fill_(alpha * (i + 1))
    return model.eval()


def reference(model: GAttANet, images: Tensor, normalise: bool = False) -> tuple[Tensor, list[Tensor], list[dict]]:
    """Logits, q_avg of each pass and gatta of each pass: image by image, position by position, unit by unit."""
    results = [of_image(model, image[None], normalise) for image in images]
    logits, queries, gattas = zip(*results, strict=True)
    stacked = [{name: torch.stack([g[p][name] for g in gattas]) for name in gattas[0][p]} for p in range(model.passes)]
    return torch.cat(logits), [torch.stack([q[p] for q in queries]) for p in range(model.passes)], stacked


def of_image(model: GAttANet, image: Tensor, normalise: bool) -> tuple[Tensor, list[Tensor], list[dict]]:
    net, q_avg, queries, gattas = model.backbone, None, [], []
    for _ in range(model.passes):
        collected, gatta = [], {}
        x = image
        for name in ("conv1", "conv2", "conv3", "pool", "dense1", "dense2"):
            x = net.get_submodule(name)(x)
            if name in model.layers:
                part = model.agreement[model.layers.index(name)]
                x, q, g = (conv_layer if x.ndim == 4 else dense_layer)(x, part, q_avg, normalise)
                collected.append(q)
                gatta |= {} if g is None else {name: g}
        q_avg = sum(collected) / len(collected)  # 1 / (n_c + n_d)
        queries.append(q_avg)
        gattas.append(gatta)
    return x, queries, gattas


def conv_layer(f: Tensor, part: nn.Module, q_avg: Tensor | None, normalise: bool):
    height, width = f.shape[2:]
    q = sum(part.query.T @ f[0, :, y, x] for y in range(height) for x in range(width)) / (height * width)
    if q_avg is None:
        return f, q, None
    rows = [[(part.key.T @ f[0, :, y, x]) @ q_avg for x in range(width)] for y in range(height)]
    g = standardised(torch.stack([torch.stack(row) for row in rows]), normalise)
    return f * (1 + part.alpha * g), q, g


def dense_layer(f: Tensor, part: nn.Module, q_avg: Tensor | None, normalise: bool):
    units = range(f.shape[1])
    q = sum(f[0, c] * part.query[c] for c in units) / len(units)
    if q_avg is None:
        return f, q, None
    g = standardised(torch.stack([(f[0, c] * part.key[c]) @ q_avg for c in units]), normalise)
    return f * (1 + part.alpha * g), q, g


def standardised(g: Tensor, normalise: bool) -> Tensor:
    return (g - g.mean()) / (g.var(unbiased=False) + 1e-5).sqrt() if normalise else g
