"""Transformer attribution: what its authors' code gave for a small network, and that images do not disturb each other."""

import pytest
import torch

from lib.explain import Classes, Similarity, explain, methods_of
from lib.explain.methods.transformer_attribution import transformer_attribution
from tests.explain.models import drawn, images, model_of, small_vit

METHOD = "transformer-attribution"
# hila-chefer/Transformer-Explainability, ViT_LRP.relprop(method="transformer_attribution", alpha=1), of `small_vit`
BY_ITS_AUTHORS = {
    0: [0.0006903092, 0.003292139, 0.02453109, 0.003057439],
    2: [8.851306e-05, 0.0009375463, 0.0002592902, 7.210894e-11],
}


@pytest.mark.parametrize("target", BY_ITS_AUTHORS)
def test_it_is_what_the_authors_code_gives(target):
    x = drawn(torch.Size([1, 3, 16, 16]), 7)
    found = transformer_attribution(small_vit(), x, torch.tensor([target])) * 2**2  # two layers
    torch.testing.assert_close(found.flatten(), found.new_tensor(BY_ITS_AUTHORS[target]), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", ["timm vit", "timm vit without class token"])
def test_neither_batches_nor_neighbours_matter(kind):
    model, x = model_of(kind), images(3)
    maps = explain(model, x, [0, 1, 2], METHOD)
    assert maps.amax((1, 2)).tolist() == [1, 1, 1]
    torch.testing.assert_close(explain(model, x[1:], [1, 2], METHOD, batch_size=1), maps[1:], atol=1e-3, rtol=0)
    assert not torch.equal(maps, explain(model, x, 3, METHOD))
    torch.testing.assert_close(explain(model, x, Classes([3]), METHOD), explain(model, x, 3, METHOD), atol=1e-3, rtol=0)


def test_it_is_of_vits_that_answer_by_their_head():
    assert METHOD in methods_of(model_of("timm vit"))
    assert METHOD not in methods_of(model_of("dcal"))
    assert METHOD not in methods_of(model_of("torchvision vit"))
    alike = Similarity.to(model_of("timm vit"), images(1)[0])
    assert METHOD not in methods_of(model_of("timm vit"), alike)
