"""Where starting weights are: a name that ships, a file, the folder of a run, a repository of the Hub, a URL.

    resnet18_small                                  ships, see `python -m lib.weights`
    weights/dino.pth                                a file: safetensors, or what torch.save wrote
    outputs/runs/HAM10000-resnet50-…-1a2b3c4d       a run: its best weights; its name alone in outputs/runs
    hf-hub:timm/resnet50.a1_in1k                    a repository; @revision and /file may follow
    https://host/weights.pth#sha256=…               a URL; the digest, or the beginning of one, is checked

What was fetched once is not asked for again: repositories lie in the Hub's own cache, URLs where PyTorch keeps its files.
"""

import functools
import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch

from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError, choose, unknown
from lib.files import make_folder
from lib.inputs import note
from lib.paths import OUTPUTS, given_path
from lib.remote.remote_files import Remote, fetch
from lib.weights.shipped_files import NO_WEIGHTS, shipped, shipped_names

HUB = "hf-hub:"
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # of a repository, the first that it has
RUN_FILE = "best.safetensors"  # of a run's folder
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
PATIENCE = 15  # seconds that a host may be silent
FORMS = f"a file, a run's folder, {HUB}owner/name, or a URL"
REPOSITORY = re.compile(r"hf-hub:(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<file>[\w./-]+))?")
NAMED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.")  # PyTorch's files have the beginning of their digest in their name


def known_start(weights: str) -> str:
    """`weights` as it is told apart from others: a name as it is written, a path from the root on.

    Nothing is read, and no host is asked: a run can be looked at when what it started from has gone.

    Raises:
        WorkbookValueError: it is none of the forms above; the nearest name is told.
    """
    if weights.startswith(HUB):
        if not REPOSITORY.fullmatch(weights):
            raise WorkbookValueError(
                f"weights={weights!r} names no repository of the Hub: write {HUB}owner/name, such as {HUB}timm/resnet18.a1_in1k; "
                "@revision and /file may follow."
            )
        return weights
    if "://" in weights:
        if urlsplit(weights).scheme not in ("http", "https") or not _url_file(weights):
            raise WorkbookValueError(f"weights={weights!r} is no address of a file: write https://host/file.pth.")
        return weights
    names = [NO_WEIGHTS, *shipped_names()]
    if (OUTPUTS / "runs" / weights / RUN_FILE).is_file():
        return str(OUTPUTS / "runs" / weights)
    if _is_path(weights):
        return os.path.realpath(given_path(weights, "weights"))
    try:
        return choose("weights", weights, names)
    except WorkbookValueError:
        raise WorkbookValueError(f"{unknown('weights', weights, names)} Or give {FORMS}.") from None


def weights_file(weights: str) -> Path:
    """The file that `weights` means, fetched where it is not here yet.

    Raises:
        WorkbookFileError: there is none, or its host does not answer; the message says what to put where.
    """
    weights = known_start(weights)
    if weights in shipped_names():
        return shipped(weights).file
    if weights.startswith(HUB):
        return hub_file(weights)
    if "://" in weights:
        return url_file(weights)
    path = Path(weights)
    file = path / RUN_FILE if path.is_dir() else path
    note(file)
    if not file.is_file():
        what = f"holds no {RUN_FILE}, as the folder of a run does" if path.is_dir() else "does not exist"
        raise WorkbookFileError(f"The weights {path} cannot be read: it {what}. Give {FORMS}.")
    return file


def start_digest(weights: str) -> str:
    """Sixteen hex digits that follow what is in the weights: of those that ship the tensors, else the file.

    Raises:
        WorkbookFileError: see `weights_file`.
    """
    name = known_start(weights)
    if name in shipped_names():
        return shipped(name).digest
    file = weights_file(name)
    stat = file.stat()
    return _digest(file, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest(file: Path, size: int, changed: int) -> str:
    """A file is read anew when its size or time is another."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def url_file(url: str) -> Path:
    """The file at `url`, in PyTorch's folder of files.

    Raises:
        WorkbookFileError: it cannot be fetched, or its digest is another than is told.
        WorkbookError: PyTorch's folder cannot be written.
    """
    address, _, fragment = url.partition("#")
    name, told = _url_file(address), re.fullmatch(r"sha256=([0-9a-fA-F]{8,64})", fragment)
    in_name = NAMED_DIGEST.search(name)
    digest = told[1].lower() if told else in_name[1] if in_name else None
    folder = Path(torch.hub.get_dir(), "checkpoints")
    if digest is None:  # many files of many hosts are called model.pth
        name = f"{hashlib.sha256(address.encode()).hexdigest()[:8]}-{name}"
    make_folder(folder)
    try:
        return fetch(Remote(address, name, sha256=digest, patience=PATIENCE), folder)
    except WorkbookError as error:
        raise WorkbookFileError(
            f"The weights {address} could not be downloaded ({error}) On a machine with network access download them and put "
            f"the file into {folder} as {name}, or train without (weights='none', pretrained=False)."
        ) from error


def _url_file(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2]


def hub_file(weights: str) -> Path:
    """The file of weights in a repository, `hf-hub:owner/name[@revision][/file]`, in the Hub's cache.

    Raises:
        WorkbookFileError: it is not here, and the Hub does not answer or has no such file.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache  # a third of a second

    said = REPOSITORY.fullmatch(weights)
    where = {"repo_id": said["id"], "revision": said["revision"]}
    files = (said["file"],) if said["file"] else HUB_FILES
    for file in files:
        if isinstance(found := try_to_load_from_cache(filename=file, **where), str):
            return Path(found)
    for file in files:
        try:
            if _is_there(file, **where):
                return Path(hf_hub_download(filename=file, **where))
        except Exception as error:  # of a client for HTTP underneath that has changed more than once
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise WorkbookFileError(
                f"The Hub did not give {weights} ({reason}). {_by_hand(said['id'], files[0])}"
            ) from error
    raise WorkbookFileError(f"{weights} has no {' and no '.join(files)}. Name the file: {HUB}{said['id']}/FILE.")


def _is_there(file: str, repo_id: str, revision: str | None) -> bool:
    """Whether the Hub has the file, asked once: `hf_hub_download` goes on asking a silent one for minutes."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    try:
        get_hf_file_metadata(hf_hub_url(repo_id, file, revision=revision), timeout=PATIENCE)
    except EntryNotFoundError:
        return False
    return True


def _by_hand(repository: str, file: str) -> str:
    return (
        f"On a machine with network access: `hf download {repository} {file} --local-dir FOLDER`; then give the file here, "
        f"weights='FOLDER/{file}', or train without (weights='none', pretrained=False)."
    )


def timm_start(network: str) -> str | None:
    """Where timm has the pretrained weights of one of its networks, as `weights`; None where it reads them itself."""
    import timm

    config = timm.get_pretrained_cfg(network)
    if config is None or config.custom_load:
        return None
    if config.hf_hub_id:
        return (
            HUB
            + config.hf_hub_id.replace("hf-hub:", "")
            + (f"/{config.hf_hub_filename}" if config.hf_hub_filename else "")
        )
    return config.url or None


def _is_path(weights: str) -> bool:
    return any(sign in weights for sign in ("/", os.sep)) or Path(weights).suffix in SUFFIXES or weights.startswith("~")
