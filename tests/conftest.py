"""What many tests need: one thread, a small HAM10000 in its own layout, a trained run."""

import contextlib
import ctypes
import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two threads on a busy machine wait for each other

import re
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lib.data.sets.ham10000 import CLASSES
from lib.paths import DATA, ROOT
from lib.training import Run, RunConfig, fit, profile_config
from tests.host import Host
from tests.lab import serve

torch.set_num_threads(1)
# Tests started behind "&" in a script ignore Ctrl-C, and what they start inherits that, also where it is to be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """What importing all tests has made stays: later collections, one after each training, would go through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _memory_goes_back():
    """What the tests of a module took and freed, half a gigabyte for a VGG, the C library keeps: it would add up."""
    yield
    gc.collect()
    with contextlib.suppress(AttributeError, TypeError):  # other systems' libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)


MOST_MEMORY = 3.0  # GiB
THREADS = os.environ["OMP_NUM_THREADS"]


@pytest.fixture(scope="session", autouse=True)
def _memory_is_bounded():
    """A process of tests that grows beyond MOST_MEMORY fails at its end. (CUDA alone takes more.)"""
    yield
    status = Path("/proc/self/status")
    if status.exists() and not torch.cuda.is_available():
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 2**20
        assert peak < MOST_MEMORY, (
            f"this process of tests took {peak:.1f} GiB; run its files one by one to see which does"
        )


@pytest.fixture(scope="session", autouse=True)
def _the_power_stays_on():
    """Nothing is flushed to the disk, which would cost a minute; tests/test_files.py asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(os, "sync", lambda: None)
        yield


@pytest.fixture(autouse=True)
def _one_thread_stays_one():
    """A test, or a library that it calls, that changes how many threads later tests and their processes take is named."""
    yield
    if (threads := os.environ.get("OMP_NUM_THREADS")) != THREADS:
        os.environ["OMP_NUM_THREADS"] = THREADS
        warnings.warn(f"OMP_NUM_THREADS was {threads} after this test", stacklevel=1)


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shared")


def write_ham(root: Path, lesions: int = 6, views: int = 2, size: tuple[int, int] = (40, 30)) -> Path:
    """HAM10000's layout with `lesions` lesions of each class, `views` images each, the class told by the colour."""
    rng = np.random.default_rng(0)
    parts = [root / "HAM10000_images_part_1", root / "HAM10000_images_part_2"]
    masks = root / "HAM10000_segmentations_lesion_tschandl"
    for folder in (*parts, masks):
        folder.mkdir(parents=True)
    rows = []
    for c, dx in enumerate(CLASSES):
        for lesion in range(lesions):
            for view in range(views):
                number = (c * lesions + lesion) * views + view
                image_id = f"ISIC_{number:07d}"
                pixels = rng.integers(0, 60, (size[1], size[0], 3)) + np.array([30 * c, 190 - 30 * c, 90])
                Image.fromarray(pixels.astype(np.uint8)).save(parts[number % 2] / f"{image_id}.jpg")
                mask = np.zeros(size[::-1], np.uint8)
                mask[5:20, 5:25] = 255
                Image.fromarray(mask).save(masks / f"{image_id}_segmentation.png")
                rows.append((f"HAM_{c * lesions + lesion:07d}", image_id, dx, "histo", "50.0", "male", "back"))
    columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "HAM10000_metadata.csv", index=False)
    return root


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Finds a folder of real data, in `data/` or in `shared/data/` beside or above the repository; skips without."""

    def find(name: str) -> Path:
        places = (DATA / name, *(above / "shared" / "data" / name for above in ROOT.parents))
        found = next((place for place in places if place.is_dir()), None)
        return found or pytest.skip(f"the real {name} is not at hand")

    return find


@pytest.fixture
def ham_root(tmp_path) -> Path:
    return write_ham(tmp_path / "ham")


@pytest.fixture(scope="session")
def shared_ham(shared_root) -> Path:
    """As `ham_root`, for tests that change nothing."""
    return write_ham(shared_root / "ham")


@pytest.fixture(scope="session")
def tiny(shared_ham) -> RunConfig:
    """A config that trains in a second or two: a network of five layers, since every run of it takes time and memory."""
    settings = {"dataset": "HAM10000", "data_root": str(shared_ham), "backbone": "toynet", "attention": "none"}
    return profile_config("smoke", **settings, max_epoch=2, batch_size=16)


@pytest.fixture(scope="session")
def finished(tiny, shared_root) -> Run:
    """A finished run of `tiny`."""
    return fit(tiny, shared_root / "runs")


@pytest.fixture(scope="session")
def attentive(tiny, shared_root) -> Run:
    """A finished run whose network has maps of its own, of any position as the query."""
    return fit(tiny.replace(attention="CBAM", max_epoch=1), shared_root / "attentive")


@pytest.fixture
def host():
    """A server on this machine."""
    host = Host()
    yield host
    host.server.shutdown()
    host.server.server_close()


CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, driven by playwright."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed to open the pages in: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=path, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """A JupyterLab for the tests of a module; see `tests.lab`."""
    pytest.importorskip("jupyterlab")
    with serve(tmp_path_factory.mktemp("lab"), browser) as lab:
        yield lab


@pytest.fixture(scope="module")
def desk(lab):
    """An empty notebook in JupyterLab, with a kernel, for the tests of a module: each puts cells of its own into it."""
    with lab.open() as desk:
        yield desk


class SmallDisks:
    """Real file systems of few bytes, each mounted in a namespace of its own, where no privilege is needed for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.holders: dict[Path, subprocess.Popen] = {}

    def __call__(self, size: int) -> Path:
        """A new disk of `size` bytes."""
        mount = (
            f"mount -t tmpfs -o size={size} small {self.folder} && echo mounted && while read line; do eval $line; done"
        )
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
        try:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            holder = subprocess.Popen(command, text=True, bufsize=1, **pipes)
        except FileNotFoundError:
            pytest.skip("there is no `unshare` to mount a small disk with")
        disk = Path(f"/proc/{holder.pid}/root{self.folder}")
        self.holders[disk] = holder
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("mounting a small disk is not permitted here")
        return disk

    @staticmethod
    def fill(disk: Path) -> Path:
        """Write a file that leaves no room on `disk`."""
        with open(disk / "other", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        return disk / "other"

    def read_only(self, disk: Path) -> None:
        """From now on nothing can be written on `disk`."""
        self.holders[disk].stdin.write(f"mount -o remount,ro small {self.folder}; echo done\n")
        assert self.holders[disk].stdout.readline() == "done\n"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[SmallDisks]:
    """`small_disk(size)` mounts one."""
    folder = tmp_path / "small"
    folder.mkdir()
    disks = SmallDisks(folder)
    yield disks
    for holder in disks.holders.values():
        holder.communicate()
