#!/usr/bin/env bash
# Make the base images for a Debian machine that cannot pull any: needs root, debootstrap and a running engine.
#
#     docker/make-base-image.sh [TAG]     (default: nmt-base)
#     BASE_IMAGE=nmt-base BUILD_IMAGE=nmt-base:build docker compose up
#
# TAG        a minimal system of the Debian release that this machine runs, with Python
# TAG:build  the same with what pip is told on this machine: its certificates, its index, its folders of wheels.
#            The image of the service is built in it and keeps none of that.
set -euo pipefail

tag=${1:-nmt-base}
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $release" 'Component: main' | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pip_setting() { # from the environment, or from pip's configuration files
    local variable=PIP_${1^^}
    variable=${variable//-/_}
    echo "${!variable:-$(python3 -m pip config get "global.$1" 2>/dev/null || true)}"
}

copy_into() { # a file or folder of this machine, to the same path below the folder $1
    mkdir -p "$1$(dirname "$2")"
    cp -RL "$2" "$1$(dirname "$2")"
}

make_base() {
    # Nothing is lost if the machine fails on the way, so dpkg need not wait for the disk after every file.
    mkdir -p "$work/root/etc/dpkg/dpkg.cfg.d"
    echo force-unsafe-io >"$work/root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    debootstrap --variant=minbase --include=ca-certificates,python3-venv "$release" "$work/root" "$mirror"
    rm -rf "$work"/root/var/{cache/apt,lib/apt/lists}/* "$work"/root/usr/share/{doc,locale,man}/*
    tar -C "$work/root" -c . | docker import - "$tag"
}

make_build_image() {
    local context=$work/build name value
    mkdir -p "$context/etc"
    echo '[global]' >"$context/etc/pip.conf"
    for name in cert index-url find-links trusted-host timeout; do
        value=$(pip_setting "$name")
        [ -z "$value" ] || echo "$name = $value" >>"$context/etc/pip.conf"
    done
    for value in $(pip_setting cert) $(pip_setting find-links); do
        [ ! -e "$value" ] || copy_into "$context" "$value"
    done
    printf 'FROM %s\nCOPY . /\n' "$tag" >"$work/Dockerfile"
    docker build --quiet --tag "$tag:build" --file "$work/Dockerfile" "$context"
}

make_base
make_build_image
