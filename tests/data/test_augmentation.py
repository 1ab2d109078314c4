"""Augmentation: what it must change, what it must leave alone, and that one seed draws one thing."""

import pytest
import torch

from lib.data.augmentation import (
    AUGMENTATIONS,
    ERASED,
    affine,
    centre_view,
    dihedral,
    erase,
    jitter,
    mirror,
    random_crop,
    stored_size,
)


@pytest.fixture
def images():
    return torch.rand(8, 3, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shape_and_seed(name, images):
    torch.manual_seed(1)
    first = AUGMENTATIONS[name](images)
    torch.manual_seed(1)
    assert torch.equal(first, AUGMENTATIONS[name](images))
    assert first.shape == (images.shape if name != "fine_grained" else (8, 3, 20, 20))  # 24 × 448 / 550
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


def test_a_mirrored_image_is_whole():
    image = torch.arange(12.0).view(1, 3, 2, 2)
    torch.manual_seed(0)
    seen = {tuple(each.flatten().tolist()) for each in mirror(image.expand(50, 3, 2, 2))}
    assert seen == {tuple(i.flatten().tolist()) for i in (image, image.flip(3))}


def test_every_window_of_a_crop_comes_and_nothing_else():
    image = torch.arange(3 * 4 * 6.0).view(1, 3, 4, 6)
    expected = {tuple(image[0, :, y : y + 3, x : x + 4].flatten().tolist()) for y in range(2) for x in range(3)}
    torch.manual_seed(0)
    assert {tuple(i.flatten().tolist()) for i in random_crop(image.expand(200, 3, 4, 6), 3, 4)} == expected


def test_fine_grained_is_the_papers_550_to_448_at_any_size(images):
    assert stored_size(448, "fine_grained") == 550
    for size in range(16, 512):
        kept = stored_size(size, "fine_grained")
        strip = torch.zeros(1, 3, kept, 2)
        assert AUGMENTATIONS["fine_grained"](strip).shape[2] == size == centre_view(strip, "fine_grained").shape[2]
    assert torch.equal(centre_view(images, "fine_grained"), images[:, :, 2:22, 2:22])
    assert centre_view(images, "person") is images
    assert stored_size(224, "person") == 224


def test_erasing_covers_its_share_at_its_rate():
    """The expected share: ½ · mean area, were no rectangle too large for the image; a moderate aspect keeps it so."""
    torch.manual_seed(0)
    images = torch.rand(4000, 3, 64, 32) * 0.1
    out = erase(images, chance=0.5, area=(0.02, 0.2), aspect=1.5)
    hole = out != images
    assert torch.equal(hole.any(1), hole.all(1))
    assert torch.allclose(out.permute(0, 2, 3, 1)[hole.all(1)], torch.tensor(ERASED))
    share = hole[:, 0].float().mean((1, 2))
    assert (share > 0).float().mean() == pytest.approx(0.5, abs=0.03)
    assert share[share > 0].mean() == pytest.approx(0.11, abs=0.01)
    assert share[share > 0].min() > 0.01
    assert share.max() < 0.23
    rows, columns = hole[:, 0].any(2).sum(1), hole[:, 0].any(1).sum(1)
    assert torch.equal((rows * columns).float() / 2048, share)  # a rectangle


def test_a_person_moves_by_the_padding_and_no_further():
    picture = torch.zeros(500, 3, 256, 128)
    picture[:, :, 100, 60] = 1
    torch.manual_seed(0)
    place = AUGMENTATIONS["person"](picture)[:, 0].eq(1).nonzero()[:, 1:]  # where no hole covers it
    assert place[:, 0].min() >= 90
    assert place[:, 0].max() <= 110
    assert place[:, 1].min() >= 50
    assert place[:, 1].max() <= 77  # 127 − 60 where mirrored
