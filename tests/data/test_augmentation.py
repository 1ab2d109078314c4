"""Augmentation: what it must change, what it must leave alone, and that one seed draws one thing."""

import pytest
import torch

from lib.data.augmentation import AUGMENTATIONS, affine, dihedral, jitter


@pytest.fixture
def images():
    return torch.rand(8, 3, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shape_and_seed(name, images):
    torch.manual_seed(1)
    first = AUGMENTATIONS[name](images)
    torch.manual_seed(1)
    assert torch.equal(first, AUGMENTATIONS[name](images))
    assert first.shape == images.shape
    assert torch.equal(first, images) == (name == "none")


def test_nothing_to_do_changes_nothing(images):
    assert torch.allclose(affine(images, 0, (1, 1), 0, flip=False), images, atol=1e-5)
    assert torch.allclose(jitter(images, 0, 0, 0), images, atol=1e-6)


def test_a_flip_mirrors_some_images_and_no_others(images):
    torch.manual_seed(0)
    out = affine(images, 0, (1, 1), 0, flip=True)
    mirrored = [torch.allclose(o, i.flip(-1), atol=1e-5) for o, i in zip(out, images, strict=True)]
    kept = [torch.allclose(o, i, atol=1e-5) for o, i in zip(out, images, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 0 < sum(mirrored) < 8


def test_rotation_keeps_a_disc_and_zoom_its_direction():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    disc = ((x**2 + y**2) < 0.25).float().expand(4, 3, 65, 65)
    torch.manual_seed(0)
    turned = affine(disc, 180, (1, 1), 0, flip=True)
    assert torch.allclose(turned.mean((1, 2, 3)), disc.mean((1, 2, 3)), rtol=0.02)
    assert (affine(disc, 0, (1.5, 1.5), 0, flip=False).mean() / disc.mean()) == pytest.approx(2.25, rel=0.03)


def test_jitter_draws_for_each_image_and_keeps_grey_grey(images):
    grey = images[:1, :1].expand(8, 3, 24, 24)
    torch.manual_seed(0)
    out = jitter(grey, 0.2, 0.2, 0.5)
    assert torch.allclose(out[:, 0], out[:, 1], atol=1e-6)
    assert not torch.allclose(out[0], out[1])


def test_the_eight_symmetries_all_come_and_nothing_else():
    image = torch.arange(12.0).view(1, 3, 2, 2)
    expected = {tuple(torch.rot90(i, k, (2, 3)).flatten().tolist()) for i in (image, image.flip(3)) for k in range(4)}
    torch.manual_seed(0)
    seen = {tuple(each.flatten().tolist()) for each in dihedral(image.expand(400, 3, 2, 2))}
    assert seen == expected
    assert len(seen) == 8
