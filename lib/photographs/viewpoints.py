"""The same photograph from several viewpoints: mirrored, and cropped at its corners instead of in the middle.

Nothing about the object changes between them, so what changes in an answer, or in a map that is put back to where the
picture was, is the network's, or the method's, own doing.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lib.errors import WorkbookValueError


@dataclass(frozen=True)
class Viewpoint:
    """Which part of a picture is shown, and whether mirrored."""

    down: float = 0.5  # where the crop lies between the upper and the lower edge, as a share of the room there is
    right: float = 0.5  # the same between left and right
    mirrored: bool = False

    def offset(self, whole: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """Row and column of the crop's first pixel in a picture of height and width `whole`."""
        return round(self.down * (whole[0] - size[0])), round(self.right * (whole[1] - size[1]))

    def shown(self, picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """What is shown of a `picture`, [H, W, 3], at the (height, width) `size`."""
        top, left = self.offset(picture.shape[:2], size)
        crop = picture[top : top + size[0], left : left + size[1]]
        return np.ascontiguousarray(crop[:, ::-1] if self.mirrored else crop)

    def shared(self, usual: Tensor, here: Tensor, whole: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The pixels that the usual view and this one have in common, of a map [h, w] of each: two of one shape.

        Args:
            whole: height and width of the picture that both are crops of.
        """
        size = tuple(usual.shape)
        here = here.flip(1) if self.mirrored else here
        moved = [of - to for of, to in zip(self.offset(whole, size), USUAL.offset(whole, size), strict=True)]
        kept = [(slice(max(by, 0), side + min(by, 0))) for by, side in zip(moved, size, strict=True)]
        same = [(slice(max(-by, 0), side + min(-by, 0))) for by, side in zip(moved, size, strict=True)]
        return usual[kept[0], kept[1]], here[same[0], same[1]]


USUAL = Viewpoint()
VIEWPOINTS = {
    "as shown": USUAL,
    "mirrored": Viewpoint(mirrored=True),
    "upper left": Viewpoint(0, 0),
    "upper right": Viewpoint(0, 1),
    "lower left": Viewpoint(1, 0),
    "lower right": Viewpoint(1, 1),
}


def first_viewpoints(number: int) -> list[str]:
    """The names of the first `number` of VIEWPOINTS, the usual one and those that are compared with it.

    Raises:
        WorkbookValueError: there are not so many, or none is left to be compared.
    """
    if not 2 <= number <= len(VIEWPOINTS):
        raise WorkbookValueError(
            f"viewpoints must be at least 2, so that there is one to compare the usual one with, and at most {len(VIEWPOINTS)}, "
            f"not {number}."
        )
    return list(VIEWPOINTS)[:number]
