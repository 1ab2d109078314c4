"""A hook of mkdocs: the search works from files without the script that the theme's `offline` takes from unpkg.com."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

SHIM = "assets/iframe-worker.js"  # iframe-worker 1.0.4, MIT licence, Copyright (c) Martin Donath


@event_priority(-100)  # after the plugin
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """`config` with our copy of the script."""
    config.extra["polyfills"] = [SHIM]
    return config
