#!/bin/sh
# safetensors 0.8.0: `save_file` ignores the umask, and puts a new file in the place of what stood under that name.
#
# `save_file(tensors, path)` does not open `path`: it writes a temporary file `.tmpXXXXXX` beside it, made with mode 0600,
# and renames that. So the weights can be read by their owner alone, whatever the umask says, where torch.save and open()
# give 0644: in a store that a group shares, the others get "Permission denied". A file that is saved again loses the mode
# that it had; a hard link keeps the old content, a symbolic link is replaced by a file (what it pointed to stays as it
# was). A process that is killed while it saves leaves the `.tmpXXXXXX` behind.
#
# Seen with safetensors 0.8.0, Python 3.11, Linux. What helps: path.write_bytes(save(tensors)), or a chmod afterwards.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "safetensors==0.8.0" "numpy==2.3.5"
cat > "$folder/look.py" <<'PYTHON'
import os
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save, save_file

os.umask(0o022)
folder, tensors = Path(sys.argv[1]), {"weights": np.zeros(4, np.float32)}
by_file, by_bytes, link, aim = (folder / name for name in ("by_file", "by_bytes", "link", "aim"))
save_file(tensors, by_file)
by_bytes.write_bytes(save(tensors))
modes = [oct(path.stat().st_mode & 0o777) for path in (by_file, by_bytes)]
print("modes of save_file and of write_bytes:", *modes)
by_bytes.chmod(0o664)
save_file(tensors, by_bytes)
again = oct(by_bytes.stat().st_mode & 0o777)
print("a file of mode 0o664, saved again     :", again)
aim.write_bytes(b"old")
link.symlink_to(aim)
save_file(tensors, link)
print("a link is a link still:", link.is_symlink(), "| what it points to:", aim.read_bytes())
as_seen = modes == ["0o600", "0o644"] and again == "0o600" and not link.is_symlink() and aim.read_bytes() == b"old"
raise SystemExit(0 if as_seen else 1)
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder"
