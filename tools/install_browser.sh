#!/bin/sh
# Installs Debian's Chromium and its driver for the browser tests. Where that is not possible the tests say so and skip.
set -eu
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then SUDO=; else SUDO="sudo -n"; fi
    export DEBIAN_FRONTEND=noninteractive
    $SUDO apt-get update -qq && $SUDO apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null && exit 0
fi
echo "chromium and chromium-driver are not here and could not be installed: the browser tests will be skipped" >&2
