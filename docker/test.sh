#!/usr/bin/env bash
# Test the container on a real engine: `make test-docker`.
#
# Uses the engine that runs. Where none does, and we are root on Debian, it installs one and runs it for the time of the
# test. Where no image can be pulled it makes base images, and keeps them for the next time. Where no engine can be had
# the test skips and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

engine_answers() { docker info >/dev/null 2>&1; }
compose_answers() { docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1; }
have() { docker image inspect "$1" >/dev/null 2>&1; }

install() { # Debian packages, if we may
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
    echo "installing $*"
    apt-get update -qq
    # No manual pages: to index them takes longer than to install the packages.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Options::=--force-unsafe-io -o DPkg::Options::=--path-exclude='/usr/share/man/*' "$@" >/dev/null
}

start_engine() {
    command -v dockerd >/dev/null || return 1
    logs=$(mktemp)
    dockerd >"$logs" 2>&1 &
    engine=$!
    trap 'kill "$engine" 2>/dev/null && wait "$engine" || true; rm -f "$logs"' EXIT
    for _ in $(seq 60); do
        engine_answers && return
        kill -0 "$engine" 2>/dev/null || break
        sleep 1
    done
    tail -n 20 "$logs"
    return 1
}

choose_base_image() {
    [ -z "${BASE_IMAGE:-}" ] || return 0
    [ -z "${NEW_BASE_IMAGE:-}" ] || docker image rm --force nmt-base nmt-base:build >/dev/null 2>&1 || true
    have nmt-base:build || have python:3.11-slim || docker pull --quiet python:3.11-slim || make_base_image
    ! have nmt-base:build || export BASE_IMAGE=nmt-base BUILD_IMAGE=nmt-base:build
}

make_base_image() {
    command -v debootstrap >/dev/null || install debootstrap
    docker/make-base-image.sh nmt-base >/dev/null
}

command -v dockerd >/dev/null || engine_answers || install docker.io docker-compose debootstrap || true
engine_answers || start_engine || true
compose_answers || install docker-compose || true
! engine_answers || choose_base_image
"${PYTHON:-python3}" -m pytest -rs --durations=0 tests/system/test_docker.py
