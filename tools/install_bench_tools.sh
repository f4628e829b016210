#!/bin/sh
# Installs what `make bench` drives and compares with, where it is missing and Debian's packages may be installed.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=
command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
command -v nginx >/dev/null 2>&1 || missing="$missing nginx"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then SUDO=; else SUDO="sudo -n"; fi
    # nginx is started by the benchmark itself, never as a service of the machine.
    if $SUDO apt-get update -qq &&
        $SUDO env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends $missing >/dev/null; then
        exit 0
    fi
fi
echo "missing and not installable here:$missing. Install by hand what you have another way to get, then run make bench again." >&2
exit 1
