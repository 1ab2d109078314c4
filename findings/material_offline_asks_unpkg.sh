#!/bin/sh
# mkdocs-material 9.8.2: the `offline` plugin, which makes a site that works from files, adds a request of its own.
#
# Its documentation recommends it for sites that are read without a network. A page built with it begins with
# <script src="https://unpkg.com/iframe-worker/shim">, which the same site without the plugin has not. Without a network,
# or under a policy that forbids other hosts, the script is missing, and so is the search. (The `privacy` plugin would fetch
# it when the site is built, which needs a network then.) The script's address stands in config.extra.polyfills, where a hook
# that runs after the plugin can put a copy in its place.
# Seen with Python 3.11, mkdocs 1.6.1, mkdocs-material 9.8.2 on 30 November 2026.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet mkdocs==1.6.1 mkdocs-material==9.8.2
mkdir docs
echo '# Home' > docs/index.md
printf 'site_name: x\ntheme: {name: material, font: false}\nplugins: [search]\n' > plain.yml
printf 'site_name: x\ntheme: {name: material, font: false}\nplugins: [search, offline]\n' > offline.yml
for kind in plain offline; do venv/bin/mkdocs build --quiet -f $kind.yml -d $kind >/dev/null 2>&1; done
asked() { grep -oE '<(script|link|img)[^>]*(src|href)="?https?://[^" >]*' "$1/index.html" | grep -v generator || true; }
echo "without the plugin: $(asked plain)"
echo "with it:            $(asked offline)"
test -z "$(asked plain)"
asked offline | grep -q 'https://unpkg.com/iframe-worker/shim'
