"""The official sets, a file a set: what lies where on disk, and what its lists say."""
