"""Gates are read on the very pictures that the networks were tested on."""

import torch

from lib.evaluation.learned_gates import gate_values
from lib.training import RunConfig
from lib.training.build_model import build_model
from lib.training.inference import network_input
from tests.evaluation.made_images import images_of


def test_gates_are_those_of_the_middle_where_training_crops(tmp_path):
    config = RunConfig(dataset="phantom-birds", attention="CBAM", fusion_strategy="learnable_gate", image_size=64)
    images, model = images_of(tmp_path, config), build_model(config, 2, pretrained=False).eval()
    ((info, values),) = gate_values(model, images).items()
    with torch.inference_mode():
        model(network_input(model, images.pixels, "fine_grained"))
        expected = model.maps()["fusion_gate"].numpy()
    assert (info.name, info.meaning) == ("fusion_gate", "gate: 1 is global only, 0 local only")
    assert values.shape == expected.ravel().shape  # of 64 pixels, not of the 79 that are kept
    assert torch.allclose(torch.from_numpy(values), torch.from_numpy(expected.ravel()), atol=1e-5)
