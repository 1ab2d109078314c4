"""One interface to every explanation: images in, maps [B, H, W] in [0, 1] out."""

import importlib.util
import logging
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.errors import WorkbookError, WorkbookValueError, choose, did_you_mean, plain_name, positive
from lib.explain.methods.activation_tap import has_gradient_at_layer
from lib.explain.methods.blank_images import has_gradient, is_ours, succeeds
from lib.explain.methods.cam import CAMS, ITS_OWN_REASON, OF_NO_CLASS, WITHOUT_GRADIENT, cam
from lib.explain.methods.eval_guards import undisturbed, unwrapped
from lib.explain.methods.gradients import gradient_x_input, integrated_gradients
from lib.explain.methods.logits import logits_of
from lib.explain.methods.network_maps import network_map, network_methods
from lib.explain.methods.patch_transformers import vit_of
from lib.explain.methods.perturbation import occlusion, rise
from lib.explain.methods.reference_maps import centre_map, noise_map, random_map
from lib.explain.methods.relevance import attention_lrp, has_attention_lrp, has_lrp, lrp
from lib.explain.methods.sampled_gradients import expected_gradients, smooth_grad
from lib.explain.methods.target_layers import convolves, has_target_layer
from lib.explain.methods.target_objects import Scored, Target
from lib.explain.methods.targets import Targets, chosen, given_objects, given_targets
from lib.explain.methods.transformer_attribution import has_transformer_attribution, transformer_attribution
from lib.explain.methods.vit_rollout import gradient_rollout, rollout
from lib.hardware import mixed_precision
from lib.mapped import is_even

log = logging.getLogger(__name__)

# (model, images [B, 3, H, W], targets [B] or None) → maps [B, h, w], not yet scaled
Run = Callable[..., Tensor]
# at_once: how many images a pass of its own may hold; baselines: pictures [M, 3, H, W] to compare with, or None
OPTIONS = ("at_once", "baselines")
FIRST_CAMS = ("grad-cam", "grad-cam++", "hires-cam", "xgrad-cam", "layer-cam", "eigen-cam", "ablation-cam")
TORCHSCRIPT = (
    " TorchScript keeps no layers that can be looked into: explain the network as it was written, or take one of these."
)
TOLD = 10  # numbers of images, of those whose maps are even


@dataclass(frozen=True)
class Method:
    """How a map is made, which models have it, and whether it is another one for another class."""

    run: Run
    suits: Callable[[nn.Module], bool]
    by_class: bool
    needs: str | None = None  # a package that only this method needs
    needs_logits: bool = True  # whether `run` asks what the model answers
    takes: tuple[str, ...] = ()  # of `OPTIONS`, what `run` takes, too
    by_default: bool = True  # whether reports draw it where no method is named
    even: str = (  # why a map may be the same everywhere, and what to do
        "nothing in them speaks for what is explained, or no place more than another as far as numbers tell, so take another "
        "method, class or network"
    )

    @property
    def installed(self) -> bool:
        """Whether what it needs is there."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def _any(model: nn.Module) -> bool:
    return True


def _has_rollout(model: nn.Module) -> bool:
    return vit_of(model) is not None


# Name → method; another is one line: METHODS["mine"] = Method(run, suits=lambda model: True, by_class=True). What a
# network shows of itself stands in no registry: see `lib.mapped.Mapped`.
METHODS: dict[str, Method] = {
    **{
        name: Method(
            partial(cam, name),
            has_target_layer if name in WITHOUT_GRADIENT else has_gradient_at_layer,
            by_class=name not in OF_NO_CLASS,
            by_default=name in FIRST_CAMS,
            even=ITS_OWN_REASON.get(name, Method.even),
        )
        for name in CAMS
    },
    "gradient-x-input": Method(gradient_x_input, has_gradient, by_class=True),
    "integrated-gradients": Method(
        integrated_gradients, has_gradient, by_class=True, needs="captum", takes=("at_once",)
    ),
    "smooth-grad": Method(smooth_grad, has_gradient, by_class=True, takes=("at_once",), by_default=False),
    "expected-gradients": Method(
        expected_gradients, has_gradient, by_class=True, takes=("at_once", "baselines"), by_default=False
    ),
    "occlusion": Method(occlusion, _any, by_class=True, needs="captum", takes=("at_once",), by_default=False),
    "rise": Method(rise, _any, by_class=True, takes=("at_once",), by_default=False),
    "lrp": Method(lrp, has_lrp, by_class=True, needs="zennit", by_default=False),
    "attn-lrp": Method(attention_lrp, has_attention_lrp, by_class=True, needs="zennit", by_default=False),
    "rollout": Method(rollout, _has_rollout, by_class=False, needs_logits=False),
    "gradient-rollout": Method(gradient_rollout, _has_rollout, by_class=True),
    "transformer-attribution": Method(
        transformer_attribution, has_transformer_attribution, by_class=True, by_default=False
    ),
    "random": Method(random_map, _any, by_class=False, needs_logits=False),
    "noise": Method(noise_map, _any, by_class=False, needs_logits=False),
    "centre": Method(centre_map, _any, by_class=False, needs_logits=False),
}
REFERENCE_MAPS = ("random", "noise", "centre")


def methods_of(model: nn.Module, target: Target | None = None) -> dict[str, Method]:
    """The methods that `model` has, by name, which are those by which `explain` can: those of `METHODS` that suit it, what
    it shows of itself, and last the reference maps. Methods whose package is not installed are left out.

    A network that is none of the workbook's is shown a blank image for this. `target` is what is to be explained where
    that is no class: a detector has more methods for a box than for a class, which it does not answer with.
    """
    model = unwrapped(model)
    network = model if target is None else Scored(model, target)
    answers = is_ours(network) or succeeds(network, logits_of)
    fitting = {suits: suits(network) for suits in {method.suits for method in METHODS.values() if method.installed}}
    suiting = {
        name: method
        for name, method in METHODS.items()
        if method.installed and fitting[method.suits] and (answers or not method.needs_logits)
    }
    own = _own_methods(model)
    references = {name: suiting.pop(name) for name in REFERENCE_MAPS if name in suiting}
    return {**suiting, **own, **references}


def _own_methods(model: nn.Module) -> dict[str, Method]:
    """What a network shows of itself, as methods."""
    return {
        name: Method(partial(network_map, name), _any, by_class=False, needs_logits=False)
        for name in network_methods(model)
    }


def choose_methods(model: nn.Module, names: str | None = None, leave_out: Collection[str] = ()) -> list[str]:
    """The methods of `model` that `names` tells, by comma; for None all that reports draw (`Method.by_default`) but those to
    `leave_out`. The reference maps are always among them, and come last.

    Raises:
        WorkbookValueError: a name that the model has not, or reference maps only.
    """
    known = methods_of(model)
    named = [choose("methods", name.strip(), known) for name in (names or "").split(",") if name.strip()]
    wanted = named or [name for name, method in known.items() if method.by_default and name not in leave_out]
    tried = [name for name in dict.fromkeys(wanted) if name not in REFERENCE_MAPS]
    if not tried:
        raise WorkbookValueError(f"methods={names!r} names reference maps only; choose from {', '.join(known)}.")
    return [*tried, *REFERENCE_MAPS]


def explain(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: str = "grad-cam",
    *,
    batch_size: int = 32,
    precision: str = "32",
    baselines: Tensor | None = None,
) -> Tensor:
    """Where `model` looks, or what speaks for a class: maps float32 [N, H, W] on the CPU, each from 0 to 1.

    0 is the least of a map and 1 its greatest; one that is even everywhere is 0, and a warning names its image. Coarse maps are
    enlarged bilinearly.
    The model is left as it was, but for the maps that its own modules keep of their last forward.

    Args:
        model: any classifier, in eval mode, whose answers are logits or hold them (`logits_of`), or a network that `targets` can be asked of; frozen parameters and an outer `no_grad` or `inference_mode` do not matter.
        images: float [N, 3, H, W] as the network is shown them (`lib.training.inference.network_input`).
        targets: the class to explain: a number, one an image, or None for the one that is predicted. Or what is no class,
            for all images or one each: several classes at once, the similarity to another picture, a detected box or mask
            (`lib.explain.methods.target_objects`), any callable from an image's answer to a number. Methods that know no
            class (`methods_of(model)[name].by_class`) give the same map for all.
        method: a name in `methods_of(model)`.
        batch_size: images at once; memory beyond the maps does not grow with their number.
        precision: "32", or the run's (`run.config.precision`): "bf16", "16", "auto". Maps are scaled in full precision.
        baselines: pictures [M, 3, H, W], such as training images, that expected-gradients compares with; None for noise.

    Raises:
        WorkbookValueError: a method that is unknown or that the model has not, images or targets that cannot be
            explained, a model in training mode.
        WorkbookError: the method's package is not installed, or the map is not finite.
    """
    name, maps = explained(
        model, images, targets, method, batch_size=batch_size, precision=precision, baselines=baselines
    )
    even = (maps.amax((1, 2)) == 0).nonzero().flatten().tolist()
    if even:
        reason = METHODS[name].even if name in METHODS else Method.even
        numbers = ", ".join(map(str, even[:TOLD])) + ", …" * (len(even) > TOLD)
        log.warning(
            "%s gives maps that are the same everywhere, and so 0, for %d of %d images (%s): %s.",
            *(name, len(even), len(maps), numbers, reason),
        )
    return maps


def explained(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: str = "grad-cam",
    *,
    batch_size: int = 32,
    precision: str = "32",
    baselines: Tensor | None = None,
) -> tuple[str, Tensor]:
    """The method's name and what `explain` gives, without its warning: for scores, which explain the same images many times."""
    model = unwrapped(model)
    positive(batch_size=batch_size)
    checked_images(images)
    objects = given_objects(targets, len(images))
    name, chosen_method = _method_of(model, method, objects[0][0] if objects else None)
    like = next(model.parameters(), torch.zeros(()))
    options = dict(zip(OPTIONS, (batch_size, baselines), strict=True))
    run = partial(chosen_method.run, **{option: options[option] for option in chosen_method.takes})
    if objects is None:
        classes = given_targets(targets, len(images))
        questions = [(model, classes, torch.arange(len(images)))]
    else:
        classes, questions = None, [(Scored(model, target), None, places) for target, places in objects]

    def shown(places: Tensor) -> Tensor:
        return images.index_select(0, places.to(images.device)).detach().to(like.device, like.dtype)

    with undisturbed(model), mixed_precision(precision, like.device), size_errors(model, images):
        maps = torch.empty(len(images), *images.shape[2:])
        if classes is not None and not chosen_method.by_class:  # else the method finds out itself
            chosen(logits_of(model, shown(torch.tensor([0]))), classes)
        for network, classes, places in questions:
            if objects is not None and not chosen_method.by_class:
                network(shown(places[:1]))
            for part in places.split(batch_size):
                made = scaled(run(network, shown(part), None if classes is None else classes[part]), images.shape[2:])
                maps.index_copy_(0, part, made)
    if not _finite(maps):
        raise WorkbookError(f"{name} gave a map that is not finite: the model's answers, or its weights, are not.")
    return name, maps


def scaled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, h, w] enlarged to `size`, and then each from 0 to 1; an even one is 0. On the CPU."""
    maps = maps.detach().float()
    if maps.shape[1:] != torch.Size(size):
        maps = F.interpolate(maps.unsqueeze(1), tuple(size), mode="bilinear").squeeze(1)
    least, greatest = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    even = is_even(least, greatest)
    return ((maps - least) / (greatest - least).where(~even, 1)).where(~even, 0).cpu()


def _finite(numbers: Tensor) -> bool:
    """Whether all are; in one pass over them, since the least of what is not a number is none."""
    return bool(torch.stack(numbers.aminmax()).isfinite().all())


def checked_images(images: Tensor) -> None:
    """Raise a WorkbookValueError unless `images` are a finite float tensor [N, 3, H, W] of at least one image."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise WorkbookValueError(
            f"images must be a float tensor [N, 3, H, W], as the network is shown them, not {kind}: "
            "lib.training.inference.network_input makes one of uint8 pictures."
        )
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise WorkbookValueError(
            f"images have the shape [N, 3, H, W], with at least one image, not {list(images.shape)}."
        )
    if not _finite(images):
        finite = images.isfinite().flatten(1).all(1)
        raise WorkbookValueError(
            f"images have numbers that are not finite ({(~finite).sum()} of {len(images)} images, first images"
            f"[{finite.long().argmin()}]): mend them or leave them out."
        )


@contextmanager
def size_errors(model: nn.Module, images: Tensor) -> Iterator[None]:
    """A WorkbookValueError where `model` takes no images of this size, which timm's and torchvision's ViTs assert, or of three
    colours."""
    try:
        yield
    except (AssertionError, RuntimeError) as error:
        told = str(error).partition("\n")[0].rstrip(".")
        of_size = re.search("size|height|width|shape|channel", told, re.IGNORECASE)
        if not of_size or (isinstance(error, RuntimeError) and not _fails(model, images)):
            raise
        height, width = images.shape[2:]
        remedy = "Resize them."
        if "channels, but got" in told:
            remedy = "Of three colours make what it takes: nn.Sequential(torchvision.transforms.Grayscale(), model)."
        raise WorkbookValueError(
            f"This {type(model).__name__} does not take images of {height}×{width} pixels: {told}. {remedy}"
        ) from error


def _fails(model: nn.Module, images: Tensor) -> bool:
    """Whether it is the network itself that cannot work on such images."""
    like = next(model.parameters(), images)
    try:
        with torch.no_grad():
            model(images[:1].to(like))
    except RuntimeError:
        return True
    return False


def _method_of(model: nn.Module, name: str, target: Target | None) -> tuple[str, Method]:
    """The method that `name` means, among those that `model` has for `target`.

    What needs a package, logits or a layer that are not there says so itself.
    """
    suits = {
        has_target_layer: convolves,
        has_gradient_at_layer: convolves,
        has_gradient: _any,
        has_lrp: convolves,
        has_attention_lrp: _any,
    }  # its images will tell the rest
    wanted = METHODS.get(name) if isinstance(name, str) else None
    if wanted is not None and suits.get(wanted.suits, wanted.suits)(model):
        return name, wanted
    suiting = {known: method for known, method in METHODS.items() if suits.get(method.suits, method.suits)(model)}
    methods = suiting | _own_methods(model)
    try:
        name = choose("method", name, methods)
    except WorkbookValueError as error:
        methods = methods_of(model, target)
        known = [plain_name(method) for method in METHODS]
        hint = "" if plain_name(str(name)) in known else did_you_mean(str(name), methods)
        why = TORCHSCRIPT if isinstance(model, torch.jit.ScriptModule) and not hint else ""
        raise WorkbookValueError(
            f"This {type(model).__name__} has no {name!r}.{hint}{why} It has: {', '.join(methods)}."
        ) from error
    return name, methods[name]
