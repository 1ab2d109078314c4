"""Draws phantom people: a figure in given clothes, as one of several cameras sees it.

Nothing here knows of data sets. Clothes, hair and what is carried make the person; the camera gives scenery, light,
colour cast, sharpness and the side from which people are mostly seen; pose, framing, and what stands in the way are
drawn anew for every picture.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lib.data.phantoms.lesion_drawing import smooth_noise

WIDTH, HEIGHT, FINE = 64, 128, 3  # pixels of a drawn image; drawn that many times as large, so that edges are smooth
CLOTH = np.float32(
    [
        [200, 50, 45],
        [45, 80, 160],
        [60, 130, 75],
        [220, 190, 70],
        [235, 235, 230],
        [40, 40, 45],
        [130, 130, 135],
        [150, 85, 150],
    ]
)
LEGWEAR = np.float32([[35, 35, 40], [50, 70, 115], [150, 130, 100], [95, 100, 105], [90, 60, 50], [205, 200, 190]])
HAIR = np.float32([[30, 25, 22], [95, 60, 35], [190, 155, 90], [150, 150, 150]])
SKIN = np.float32([[235, 195, 165], [205, 155, 120], [140, 95, 70], [95, 65, 50]])
PATTERNS = ("plain", "hoops", "stripes", "halves", "badge")
HATS, BAGS, LEGS = ("none", "cap", "beanie"), ("none", "rucksack", "handbag", "sling"), ("trousers", "shorts", "skirt")

# What each of a person's colours and shapes is drawn from, in the order of the draws.
PALETTES = {
    "top": CLOTH,
    "second": CLOTH,
    "bottom": LEGWEAR,
    "shoes": LEGWEAR,
    "hair": HAIR,
    "skin": SKIN,
    "hat_colour": CLOTH,
    "bag_colour": CLOTH,
}
CLOTHES = ("top", "second", "bottom")  # what somebody changes
SHAPES = {"pattern": PATTERNS, "hat": HATS, "bag": BAGS, "legs": LEGS}


@dataclass(frozen=True)
class Person:
    """What somebody wears and carries: colours as RGB, and one each of PATTERNS, HATS, BAGS and LEGS."""

    top: np.ndarray
    second: np.ndarray  # the pattern's other colour
    bottom: np.ndarray
    shoes: np.ndarray
    hair: np.ndarray
    skin: np.ndarray
    hat_colour: np.ndarray
    bag_colour: np.ndarray
    pattern: str
    hat: str
    bag: str
    legs: str
    stout: float  # breadth, 1 is usual


@dataclass(frozen=True)
class Camera:
    """How one camera sees: scenery, light, sharpness, and how often people are seen from behind."""

    ground: np.ndarray
    wall: np.ndarray
    structure: str  # of the wall: tiles, bars, foliage
    light: np.ndarray  # factor of R, G, B
    blur: float  # pixels
    noise: float  # standard deviation, full scale is 255
    behind: float  # share of pictures


def person(rng: np.random.Generator) -> Person:
    """Somebody, of whom there may be another much alike."""
    return Person(
        **_colours(rng),
        **{name: str(rng.choice(names)) for name, names in SHAPES.items()},
        stout=rng.uniform(0.88, 1.15),
    )


def changed(who: Person, rng: np.random.Generator) -> Person:
    """The same person in clothes of the same pattern and cut, but of other colours."""
    colours = _colours(rng)
    return replace(who, **{name: colours[name] for name in CLOTHES})


def _colours(rng: np.random.Generator) -> dict[str, np.ndarray]:
    def one(palette: np.ndarray) -> np.ndarray:
        return palette[rng.integers(len(palette))] * rng.uniform(0.85, 1.1) + rng.normal(0, 8, 3)

    return {name: one(palette) for name, palette in PALETTES.items()}


def camera(rng: np.random.Generator) -> Camera:
    """One camera and its place."""
    grey = rng.uniform(90, 175)
    return Camera(
        ground=grey * rng.normal(1, 0.06, 3) * 0.9,
        wall=rng.uniform(80, 190) * rng.normal(1, 0.08, 3),
        structure=str(rng.choice(["tiles", "bars", "foliage"])),
        light=rng.uniform(0.75, 1.12) * rng.normal(1, 0.06, 3),
        blur=rng.uniform(0.3, 0.9),
        noise=rng.uniform(2, 6),
        behind=rng.choice([0.15, 0.5, 0.85]),
    )


def draw_person(who: Person, seen_by: Camera, rng: np.random.Generator, off: float = 0.0) -> np.ndarray:
    """A picture, uint8 [HEIGHT, WIDTH, 3]; `off` shifts and cuts the frame by that share of it, as bad detections do."""
    scene = _scenery(seen_by, rng)
    layer = Image.new("RGBA", (WIDTH * FINE, HEIGHT * FINE))
    scale = FINE * HEIGHT * rng.uniform(0.86, 0.98) * (1 + off)
    x = FINE * WIDTH * (0.5 + rng.normal(0, 0.05) + off * rng.choice([-1, 1]))
    y = FINE * HEIGHT * (rng.uniform(0.02, 0.08) + off * rng.uniform(-0.6, 0.6))
    pen = _Pen(ImageDraw.Draw(layer), x, y, scale, 1 if rng.random() < 0.5 else -1)
    _figure(pen, who, rng.random() < seen_by.behind, rng)
    if rng.random() < 0.12:
        _obstacle(ImageDraw.Draw(layer), rng)
    figure = np.asarray(layer.reduce(FINE), dtype=np.float32)
    cover = figure[..., 3:] / 255
    folds = 1 + 0.06 * smooth_noise(rng, 14, HEIGHT, WIDTH)[..., None]
    seen = scene * (1 - cover) + figure[..., :3] * folds * cover
    lit = np.clip(seen * seen_by.light * rng.uniform(0.85, 1.12), 0, 255).astype(np.uint8)
    soft = np.asarray(Image.fromarray(lit).filter(ImageFilter.GaussianBlur(seen_by.blur)), dtype=np.float32)
    return np.clip(soft + rng.normal(0, seen_by.noise, (HEIGHT, WIDTH, 1)) + 0.5, 0, 255).astype(np.uint8)


def draw_nobody(seen_by: Camera, rng: np.random.Generator) -> np.ndarray:
    """A picture of the scenery alone, uint8 [HEIGHT, WIDTH, 3]: a detector's false alarm."""
    picture = np.clip(_scenery(seen_by, rng) * seen_by.light + rng.normal(0, seen_by.noise, (HEIGHT, WIDTH, 1)), 0, 255)
    return picture.astype(np.uint8)


@dataclass(frozen=True)
class _Pen:
    """Draws in heights of the figure: x from its middle to the side it walks to, y from the top of its head down."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    scale: float
    side: int

    def polygon(self, points: list | np.ndarray, colour: np.ndarray) -> None:
        place = np.asarray(points, dtype=float) * [self.side * self.scale, self.scale] + [self.x, self.y]
        self.draw.polygon(place.ravel().tolist(), fill=(*np.clip(colour, 0, 255).astype(int), 255))

    def ellipse(self, x: float, y: float, width: float, height: float, colour: np.ndarray) -> None:
        angle = np.linspace(0, 2 * np.pi, 32)
        self.polygon(np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=1), colour)

    def limb(self, start: tuple, end: tuple, thick: float, thin: float, colour: np.ndarray) -> None:
        along = np.subtract(end, start)
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6) / 2
        self.polygon([start + across * thick, end + across * thin, end - across * thin, start - across * thick], colour)


def _figure(pen: _Pen, who: Person, behind: bool, rng: np.random.Generator) -> None:
    stride, swing, wide = rng.uniform(0.01, 0.11), rng.uniform(-0.1, 0.1), 0.105 * who.stout
    if who.bag == "rucksack" and not behind:  # its edges show beside the back
        pen.ellipse(-wide - 0.01, 0.3, 0.045, 0.11, who.bag_colour)
    _legs(pen, who, stride, wide)
    pen.limb((-wide + 0.015, 0.2), (-wide - 0.02 - swing / 2, 0.48), 0.06, 0.045, who.top * 0.85)
    pen.ellipse(-wide - 0.02 - swing / 2, 0.5, 0.022, 0.026, who.skin)
    _torso(pen, who, behind, wide)
    hand = wide + 0.02 + swing / 2
    pen.limb((wide - 0.015, 0.2), (hand, 0.48), 0.06, 0.045, who.top * 0.9)
    pen.ellipse(hand, 0.5, 0.022, 0.026, who.skin)
    if who.bag == "handbag":
        bag = [(hand - 0.05, 0.53), (hand + 0.05, 0.53), (hand + 0.06, 0.63), (hand - 0.06, 0.63)]
        pen.polygon(bag, who.bag_colour)
    _head(pen, who, behind)


def _legs(pen: _Pen, who: Person, stride: float, wide: float) -> None:
    for side in (-1, 1):
        hip, foot = (side * wide * 0.5, 0.5), (side * (0.035 + stride), 0.955)
        knee = (np.add(hip, foot) / 2).tolist()
        colour = who.bottom * (1 + 0.06 * side) if who.legs == "trousers" else who.skin
        pen.limb(hip, foot, 0.085 * who.stout, 0.05, colour)
        if who.legs == "shorts":
            pen.limb(hip, knee, 0.1 * who.stout, 0.09, who.bottom)
        pen.ellipse(foot[0] + 0.015, 0.965, 0.04, 0.02, who.shoes)
    if who.legs == "skirt":
        pen.polygon([(-wide * 0.8, 0.48), (wide * 0.8, 0.48), (wide * 1.35, 0.74), (-wide * 1.35, 0.74)], who.bottom)


def _torso(pen: _Pen, who: Person, behind: bool, wide: float) -> None:
    outline = [(-wide, 0.19), (-0.03, 0.16), (0.03, 0.16), (wide, 0.19), (wide * 0.88, 0.53), (-wide * 0.88, 0.53)]
    pen.polygon(outline, who.top)
    if who.pattern == "hoops":
        above, below = wide * 0.95, wide * 0.93
        for y in (0.24, 0.32, 0.4, 0.48):
            pen.polygon([(-above, y), (above, y), (below, y + 0.03), (-below, y + 0.03)], who.second)
    elif who.pattern == "stripes":
        for x in (-0.6, -0.1, 0.4):
            left, right = wide * x, wide * (x + 0.22)
            pen.polygon([(left, 0.19), (right, 0.19), (right, 0.53), (left, 0.53)], who.second)
    elif who.pattern == "halves":
        pen.polygon([(-wide * 0.94, 0.36), (wide * 0.94, 0.36), (wide * 0.88, 0.53), (-wide * 0.88, 0.53)], who.second)
    elif who.pattern == "badge" and not behind:
        pen.ellipse(0, 0.29, 0.05, 0.05, who.second)
    if who.bag == "rucksack" and behind:
        pen.ellipse(0, 0.32, wide * 0.8, 0.13, who.bag_colour)
    elif who.bag == "rucksack":
        for side in (-1, 1):
            pen.limb((side * 0.055, 0.17), (side * 0.075, 0.4), 0.025, 0.025, who.bag_colour)
    elif who.bag == "sling":
        pen.limb((-wide * 0.8, 0.19), (wide * 0.85, 0.5), 0.03, 0.03, who.bag_colour)
        pen.polygon([(wide * 0.6, 0.46), (wide * 1.3, 0.46), (wide * 1.3, 0.58), (wide * 0.6, 0.58)], who.bag_colour)


def _head(pen: _Pen, who: Person, behind: bool) -> None:
    pen.limb((0, 0.11), (0, 0.18), 0.05, 0.05, who.skin * 0.9)
    pen.ellipse(0, 0.075, 0.052, 0.066, who.hair)
    if not behind:
        pen.ellipse(0.008, 0.088, 0.042, 0.052, who.skin)
    if who.hat != "none":
        pen.polygon([(-0.056, 0.055), (-0.05, 0.012), (0, -0.008), (0.05, 0.012), (0.056, 0.055)], who.hat_colour)
    if who.hat == "cap" and not behind:
        pen.polygon([(-0.01, 0.045), (0.085, 0.05), (0.085, 0.064), (-0.01, 0.064)], who.hat_colour * 0.8)


# --- where it is seen: says nothing of the person ---


def _scenery(seen_by: Camera, rng: np.random.Generator) -> np.ndarray:
    """float [HEIGHT, WIDTH, 3]: a wall above, the ground below."""
    horizon = int(HEIGHT * rng.uniform(0.5, 0.75))
    scene = np.empty((HEIGHT, WIDTH, 3), np.float32)
    scene[:horizon], scene[horizon:] = seen_by.wall, seen_by.ground
    phase, (y, x) = rng.uniform(0, 16), np.mgrid[:horizon, :WIDTH]
    if seen_by.structure == "tiles":
        scene[:horizon][((y + phase) % 16 < 1) | ((x + 2 * phase) % 12 < 1)] *= 0.8
    elif seen_by.structure == "bars":
        scene[:horizon][(x + phase) % 16 < 6] *= 0.72
    else:
        scene[:horizon] *= 1 + 0.25 * smooth_noise(rng, 12, horizon, WIDTH)[..., None]
    return scene * (1 + 0.05 * smooth_noise(rng, 6, HEIGHT, WIDTH)[..., None])


def _obstacle(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """A post or a hedge in front."""
    shade, width, height = int(rng.uniform(60, 160)), FINE * WIDTH, FINE * HEIGHT
    if rng.random() < 0.5:
        x, thick = rng.uniform(0.15, 0.85) * width, rng.uniform(0.06, 0.14) * width
        draw.rectangle([x, 0, x + thick, height], fill=(shade, shade, shade, 255))
    else:
        draw.rectangle([0, rng.uniform(0.7, 0.85) * height, width, height], fill=(shade // 2, shade, shade // 2, 255))
