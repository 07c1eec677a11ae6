#!/usr/bin/env bash
# A regression in any CI that has a shell: install, run, keep what people look at.
# Parts: install, run. Without an argument both, in this order.
set -euo pipefail

SUITE=${SUITE:-examples/regress/default.toml}
OUT=${OUT:-build/regress/ci}
CACHE=${CACHE:-build/regress-cache}

install() {
    make setup
}

run() {
    local status=0
    sparseflow regress "$SUITE" --out "$OUT" --cache "$CACHE" --lines || status=$?
    cat "$OUT/summary.md"
    return "$status"
}

for part in "${@:-install run}"; do
    for step in $part; do
        "$step"
    done
done
