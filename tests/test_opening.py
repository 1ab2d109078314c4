"""What a notebook has after its first line."""

import pytest

from lib.errors import WorkbookValueError
from lib.opening import open_notebook


@pytest.fixture
def nb(tiny, finished):
    names = ("dataset", "data_root", "backbone", "attention", "max_epoch", "batch_size")
    parameters = {name: getattr(tiny, name) for name in names} | {"profile": "smoke", "seeds": None, "top": 3}
    return open_notebook(parameters | {"output_dir": str(finished.path.parents[1]), "np": object()})


def test_a_notebook_has_its_run_its_network_and_an_image(nb, tiny, finished):
    assert nb.config == tiny
    assert nb.fit(nb.config).path == finished.path  # loaded, not trained
    assert not nb.network.training
    assert nb.example.batch(nb.network).shape == (1, 3, 32, 32)
    assert nb.images(3).labels.tolist() == [0, 1, 2]
    assert "toynet on HAM10000" in repr(nb)


def test_another_network_is_drawn_where_it_is_not_to_be_trained(nb, tiny):
    other = nb.network_of(tiny.replace(seed=7), train=False)
    assert not other.training
    assert not nb.store.run(tiny.replace(seed=7)).finished
    weights = nb.network.state_dict()
    assert all(value.equal(weights[name]) for name, value in nb.network_of(tiny, train=False).state_dict().items())
    assert len(nb.images_of(tiny, 2)) == 2


def test_what_a_notebook_fixes_wins_over_its_parameters(nb, tiny):
    assert open_notebook(nb.parameters, attention="gatta", gatta_dim=8).config.gatta_dim == 8


def test_defaults_are_for_what_nobody_says(nb):
    defaults = {"backbone": "resnet18", "limit_images": 9, "lr_scheduler": "Step", "gradient_clip": 3.0}
    config = open_notebook({**nb.parameters, "limit_images": None}, defaults).config
    assert config.backbone == "toynet"  # a parameter
    assert (config.limit_images, config.lr_scheduler) == (600, "CosineWarmup")  # the profile's
    assert config.gradient_clip == 3.0


def test_sizes_are_what_is_given_or_the_profiles(nb):
    assert nb.size("seeds", 5, smoke=2) == 2
    assert nb.size("seeds", 5, quick=2) == 5
    assert nb.size("top", 5, smoke=2) == 3
    with pytest.raises(WorkbookValueError, match="top must be a whole number of at least 1, not 0"):
        open_notebook(nb.parameters | {"top": 0}).size("top", 5)


@pytest.mark.parametrize(
    ("profile", "told"), [("Smoke", "profile='Smoke' is written 'smoke'"), ("smok", "Did you mean 'smoke'")]
)
def test_a_profile_is_one_that_cells_know(profile, told):
    with pytest.raises(WorkbookValueError, match=told):
        open_notebook({"profile": profile, "output_dir": "outputs"})
