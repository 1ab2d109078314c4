"""`python -m lib.data.download NAME`: fetch a data set from its official host, resumably, checked, extracted safely.

HAM10000 comes from Harvard Dataverse, which lists an MD5 for each file; ISIC-2018 Task 3 from the challenge's archive,
which lists none: there a checksum counts that the host sends with a file, the length is compared with the host's, and
every archive member with its CRC. STL10, CIFAR,
Caltech101, Caltech256, Oxford-IIIT Pet and FGVC Aircraft come through torchvision, which knows their hosts, but does
not resume. The other fine-grained and re-identification sets are given by hand: asked for one, it says where.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lib.data.fetch.archive import fetch_all
from lib.data.fetch.torchvision_sets import UNPACKED, fetch_with_torchvision
from lib.data.sets import cars, cub, msmt17, reid
from lib.errors import CommandLine, WorkbookError, choose, run_command
from lib.files import make_folder
from lib.paths import DATA
from lib.remote.remote_files import Remote, open_url

DATAVERSE = "https://dataverse.harvard.edu/api"
HAM10000_DOI = "doi:10.7910/DVN/DBW86T"
HAM10000_FILES = (
    "HAM10000_metadata",
    "HAM10000_images_part_1.zip",
    "HAM10000_images_part_2.zip",
    "HAM10000_segmentations_lesion_tschandl.zip",
)
ISIC_ARCHIVE = "https://isic-challenge-data.s3.amazonaws.com/2018"
ISIC_FILES = (
    "ISIC2018_Task3_Training_Input.zip",
    "ISIC2018_Task3_Training_GroundTruth.zip",
    "ISIC2018_Task3_Training_LesionGroupings.csv",
    "ISIC2018_Task3_Validation_Input.zip",
    "ISIC2018_Task3_Validation_GroundTruth.zip",
    "ISIC2018_Task3_Test_Input.zip",
    "ISIC2018_Task3_Test_GroundTruth.zip",
)


def ham10000_files() -> list[Remote]:
    """The files of HAM10000, asked of Dataverse: their ids change with the data set's version, their names do not."""
    reply = _listing(f"{DATAVERSE}/datasets/:persistentId/?persistentId={HAM10000_DOI}")
    listed = {Path(f["label"]).stem: f["dataFile"] for f in reply}
    missing = [name for name in HAM10000_FILES if Path(name).stem not in listed]
    if missing:
        raise WorkbookError(
            f"Dataverse no longer lists {missing[0]} under {HAM10000_DOI}; fetch it by hand and see data/README.md."
        )
    return [_dataverse_file(name, listed[Path(name).stem]) for name in HAM10000_FILES]


def _listing(url: str) -> list[dict]:
    try:
        with open_url(url) as reply:
            return json.load(reply)["data"]["latestVersion"]["files"]
    except (KeyError, TypeError, ValueError) as error:
        raise WorkbookError(f"{url} did not answer with a data set's list of files; try again later.") from error


def _dataverse_file(name: str, entry: dict) -> Remote:
    """Tables are stored converted; the original is asked for, whose MD5 the host does not tell."""
    url = f"{DATAVERSE}/access/datafile/{entry['id']}"
    if name.endswith(".zip"):
        return Remote(url, name, entry["md5"])
    converted = entry.get("originalFileFormat") is not None
    return Remote(url + "?format=original" * converted, f"{name}.csv", None if converted else entry["md5"])


BY_HAND = {  # sets that no program may or can fetch: where they are
    "CUB-200-2011": cub.ADVICE,
    "StanfordCars": cars.ADVICE,
    "Market-1501": reid.MARKET.advice,
    "DukeMTMC-reID": reid.DUKE.advice,
    "MSMT17": msmt17.ADVICE,
    "VeRi-776": reid.VERI.advice,
}


def _by_hand(name: str, root: Path) -> None:
    raise WorkbookError(f"{name} cannot be fetched by this command. {BY_HAND[name]} Unpack it into {root}.")


SOURCES: dict[str, Callable[[Path], None]] = {  # fetch a set into a folder
    "HAM10000": lambda root: fetch_all(ham10000_files(), root),
    "isic-2018-task-3": lambda root: fetch_all([Remote(f"{ISIC_ARCHIVE}/{name}", name) for name in ISIC_FILES], root),
    **{name: partial(fetch_with_torchvision, name) for name in UNPACKED},
    **{name: partial(_by_hand, name) for name in BY_HAND},
}


def download(name: str, root: Path | None = None) -> Path:
    """Fetch a data set into `root` (None: its place in data/); what is there already is not fetched again.

    Raises:
        WorkbookError: the host cannot be reached, a file arrives damaged, an archive is unsafe, the disk is full.
    """
    name = choose("dataset", name, SOURCES)
    root = DATA / name if root is None else Path(root)
    if name not in BY_HAND:
        make_folder(root)
    SOURCES[name](root)
    return root


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = CommandLine(
        prog="python -m lib.data.download", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help=", ".join(SOURCES))
    parser.add_argument("--data-root", "--data_root", type=Path, help="folder to fetch into (default: data/NAME)")
    args = parser.parse_args(argv)
    print(f"{args.name} is in {download(args.name, args.data_root)}")
    return 0


if __name__ == "__main__":
    run_command(main)
