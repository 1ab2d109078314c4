"""Downloads against a server on this machine: resumed, checked, extracted safely, and clear when nothing answers."""

import base64
import hashlib
import io
import json
import zipfile

import pytest

from lib.data import download as module
from lib.data.download import download
from lib.data.fetch.archive import extract
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError
from lib.remote.remote_files import Remote, fetch


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_a_broken_transfer_is_resumed_where_it_stopped(host, tmp_path):
    content = bytes(range(256)) * 40
    host.files["data.bin"] = content
    remote = Remote(f"{host.url}/data.bin", "data.bin", md5(content))
    host.break_after = 4000
    with pytest.raises(WorkbookError, match=r"Cannot download .*data\.bin.*go on from 4000 bytes"):
        fetch(remote, tmp_path)
    assert not (tmp_path / "data.bin").exists()
    host.break_after = None
    assert fetch(remote, tmp_path).read_bytes() == content
    assert host.ranges == [0, 4000]
    fetch(remote, tmp_path)
    assert len(host.ranges) == 2  # what is there is not fetched again


def test_a_partial_file_that_is_whole_already(host, tmp_path):
    host.files["data.bin"] = b"whole"
    (tmp_path / "data.bin.part").write_bytes(b"whole")
    assert fetch(Remote(f"{host.url}/data.bin", "data.bin", md5(b"whole")), tmp_path).read_bytes() == b"whole"


def test_a_wrong_checksum_removes_the_file(host, tmp_path):
    host.files["data.bin"] = b"other"
    with pytest.raises(WorkbookError, match="arrived damaged"):
        fetch(Remote(f"{host.url}/data.bin", "data.bin", md5(b"right")), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_network_says_what_to_do(tmp_path):
    with pytest.raises(WorkbookError, match=r"Cannot reach http://127\.0\.0\.1:9/.*by hand"):
        fetch(Remote("http://127.0.0.1:9/x.zip", "x.zip"), tmp_path)


@pytest.mark.parametrize("name", ["../outside.txt", "/absolute.txt", "a/../../outside.txt"])
def test_an_archive_that_reaches_outside_is_refused(name, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "bad.zip").write_bytes(zipped({"good.txt": "x", name: "y"}))
    with pytest.raises(WorkbookFileError, match="points outside its folder"):
        extract(tmp_path / "bad.zip", root)
    assert list(root.iterdir()) == []
    assert not (tmp_path / "outside.txt").exists()


def test_a_link_in_an_archive_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(WorkbookFileError, match="points outside"):
        extract(tmp_path / "bad.zip", tmp_path)


def test_a_damaged_archive_is_removed(tmp_path):
    content = bytearray(zipped({"a.txt": "hello" * 100}))
    content[60] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(WorkbookFileError, match="damaged"):
        extract(tmp_path / "bad.zip", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_ham10000_from_dataverse(host, tmp_path, monkeypatch):
    files = {
        "1": ("HAM10000_metadata.tab", b"lesion_id,image_id,dx\n"),
        "2": ("HAM10000_images_part_1.zip", zipped({"ISIC_1.jpg": "1"})),
        "3": ("HAM10000_images_part_2.zip", zipped({"ISIC_2.jpg": "2"})),
        "4": ("HAM10000_segmentations_lesion_tschandl.zip", zipped({"masks/ISIC_1_segmentation.png": "m"})),
    }
    entries = [{"label": label, "dataFile": {"id": i, "md5": md5(content)}} for i, (label, content) in files.items()]
    entries[0]["dataFile"] |= {"originalFileFormat": "text/csv", "md5": "of the converted table"}
    host.files = {f"access/datafile/{i}": content for i, (_, content) in files.items()}
    host.files["datasets/:persistentId/"] = json.dumps({"data": {"latestVersion": {"files": entries}}}).encode()
    monkeypatch.setattr(module, "DATAVERSE", host.url)
    root = download("ham10000", tmp_path / "ham")
    shown = sorted(
        p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")
    )
    assert shown == ["HAM10000_metadata.csv", "ISIC_1.jpg", "ISIC_2.jpg", "masks/ISIC_1_segmentation.png"]
    asked = len(host.ranges)
    download("HAM10000", tmp_path / "ham")
    assert len(host.ranges) == asked + 1  # the listing only


def test_isic_from_its_archive(host, tmp_path, monkeypatch):
    host.files = {
        name: zipped({f"{name[:-4]}/x.txt": "x"}) if name.endswith(".zip") else b"image,lesion_id\n"
        for name in module.ISIC_FILES
    }
    monkeypatch.setattr(module, "ISIC_ARCHIVE", host.url)
    root = download("isic-2018-task-3", tmp_path / "isic")
    assert (root / "ISIC2018_Task3_Test_Input" / "x.txt").exists()
    assert (root / "ISIC2018_Task3_Training_LesionGroupings.csv").exists()
    assert not list(root.glob("*.zip"))


def test_a_data_set_without_a_source():
    with pytest.raises(WorkbookValueError, match="Known: HAM10000, isic-2018-task-3"):
        download("digits")


STALE = bytes(5000)
FRESH = bytes(range(256)) * 40


def break_off(host, tmp_path, **headers):
    """A part of STALE, which the host had with `headers`; now it has FRESH."""
    host.files["data.bin"], host.headers, host.break_after = STALE, headers, 4000
    remote = Remote(f"{host.url}/data.bin", "data.bin")
    with pytest.raises(WorkbookError, match="go on from 4000 bytes"):
        fetch(remote, tmp_path)
    host.files["data.bin"], host.break_after = FRESH, None
    return remote


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"1"'}, {"ETag": '"2"'}),
        ({"Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"}, {"Last-Modified": "Tue, 06 Jan 2026 10:00:00 GMT"}),
        ({"ETag": 'W/"1"'}, {"ETag": 'W/"1"'}),  # a weak one says too little
        ({}, {}),  # nothing tells that it is the same file
    ],
)
def test_a_part_of_another_version_is_not_gone_on_with(host, tmp_path, before, after):
    remote = break_off(host, tmp_path, **before)
    host.headers = after
    assert fetch(remote, tmp_path).read_bytes() == FRESH
    assert host.ranges == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_part_of_the_same_version_is_gone_on_with(host, tmp_path, header):
    remote = break_off(host, tmp_path, **{header: '"1"'})
    host.files["data.bin"] = STALE
    assert fetch(remote, tmp_path).read_bytes() == STALE
    assert host.ranges == [0, 4000]


def test_a_part_longer_than_the_file_is_dropped(host, tmp_path):
    remote = break_off(host, tmp_path, ETag='"1"')
    host.files["data.bin"] = FRESH[:100]
    assert fetch(remote, tmp_path).read_bytes() == FRESH[:100]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Log in</title>", b"\xef\xbb\xbf\n <HTML><body>"])
def test_a_login_page_is_no_table(host, tmp_path, page):
    host.files["table.csv"] = page
    with pytest.raises(WorkbookError, match=r"answered with a web page instead of table\.csv.*Log in with a browser"):
        fetch(Remote(f"{host.url}/table.csv", "table.csv"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def in_base64(algorithm, content):
    return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


TOLD = {
    "Content-MD5": lambda content: in_base64("md5", content),
    "Digest": lambda content: f"SHA-256={in_base64('sha256', content)}",
    "Repr-Digest": lambda content: f"sha-512=:{in_base64('sha512', content)}:, unixsum=:AAA=:",
    "x-goog-hash": lambda content: f"crc32c=n03x6A==,md5={in_base64('md5', content)}",
    "ETag": lambda content: f'"{md5(content)}"',
}


@pytest.mark.parametrize("header", TOLD)
def test_a_checksum_that_the_host_sends_with_a_file_counts(host, tmp_path, header):
    remote = Remote(f"{host.url}/data.bin", "data.bin")
    host.files["data.bin"], host.headers = FRESH, {"Server": "AmazonS3", header: TOLD[header](STALE)}
    with pytest.raises(WorkbookError, match=r"data\.bin arrived damaged \((MD5|SHA256|SHA512) \w+, should be \w+\)"):
        fetch(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []
    host.headers[header] = TOLD[header](FRESH)
    assert fetch(remote, tmp_path).read_bytes() == FRESH


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": f'"{md5(STALE)}"', "Server": "Apache"},
        {"ETag": f'"{md5(STALE)}-8"', "Server": "AmazonS3"},
        {"ETag": f'"{md5(STALE)}"', "Server": "AmazonS3", "x-amz-server-side-encryption": "aws:kms"},
    ],
)
def test_an_etag_that_is_no_md5_is_no_checksum(host, tmp_path, headers):
    host.files["data.bin"], host.headers = FRESH, headers
    assert fetch(Remote(f"{host.url}/data.bin", "data.bin"), tmp_path).read_bytes() == FRESH
