"""Sets in tar shards (WebDataset's layout), which are streamed: for what is too large for a disk or a list in memory.

A shard is a tar file that holds, for each image, `<key>.jpg` (or .jpeg, .png, …) and `<key>.cls`, the number of its class
as text. Shards may lie in a folder or behind a URL; only a shuffle buffer of encoded images is ever in memory.

    python -m lib.data.shards FOLDER-OF-CLASS-FOLDERS SHARDS       # pack
    python -m lib.train --dataset shards --data_root SHARDS --sampler none
"""

from lib.data.shards.listing import Shard, ShardSet, load_shards
from lib.data.shards.stream import ShardStream, explain_dead_worker
from lib.data.shards.writing import write_shards

__all__ = ["Shard", "ShardSet", "ShardStream", "explain_dead_worker", "load_shards", "write_shards"]
