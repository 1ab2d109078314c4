#!/bin/sh
# webdataset 1.0.2: macOS's AppleDouble entries are skipped at the top of a tar, and become samples in a folder of it.
#
# `base_plus_ext` splits "name.ext" with ^((?:.*/|)[^.]+)[.]([^/]*)$. For "._a.jpg" nothing matches, so the entry is left
# out. For "set/._a.jpg" the regular expression gives up ".*/" and lets [^.]+ match "set/", slash included: the key is
# "set/" and the field "_a.jpg". A tar of a folder that was made on a Mac (`tar cf x.tar set`) therefore has more samples
# than images, without a word; if the entries stand side by side, several images' resource forks become one sample, and
# an image and its label, between which one stands, become two samples.
#
# Seen with webdataset 1.0.2, Python 3.11: four files of two images and two AppleDouble files gave 2 samples at the top of
# the tar and 4 in a folder. What helps: select_files=lambda name: not name.rpartition("/")[2].startswith("._").
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "webdataset==1.0.2" "numpy==2.3.5"
cat > "$folder/look.py" <<'PYTHON'
import io
import sys
import tarfile
from pathlib import Path

from webdataset.tariterators import tarfile_samples

folder = Path(sys.argv[1])


def samples(prefix, **how):
    shard = folder / "x.tar"
    with tarfile.open(shard, "w") as tar:
        for name in ("._a.jpg", "a.jpg", "a.cls", "._b.jpg", "b.jpg", "b.cls"):
            entry = tarfile.TarInfo(prefix + name)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(b"1"))
    found = tarfile_samples([{"url": str(shard)}], **how)
    return [(s["__key__"], sorted(k for k in s if not k.startswith("__"))) for s in found]


top, inside = samples(""), samples("set/")
print("at the top :", top)
print("in a folder:", inside)
assert top == [("a", ["cls", "jpg"]), ("b", ["cls", "jpg"])]
assert [key for key, _ in inside] == ["set/", "set/a", "set/", "set/b"]
assert inside[0][1] == ["_a.jpg"]
mended = samples("set/", select_files=lambda name: not name.rpartition("/")[2].startswith("._"))
assert [key for key, _ in mended] == ["set/a", "set/b"]
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder"
