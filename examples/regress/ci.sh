#!/usr/bin/env bash
# A regression in any CI that has a shell: install, run, keep what people look at.
# Parts: install, run. Without an argument both, in this order.
# Keep CACHE and the folder of HISTORY between runs; keep OUT and RED for people.
set -euo pipefail

SUITE=${SUITE:-examples/regress/default.toml}
OUT=${OUT:-build/regress/ci}
CACHE=${CACHE:-build/regress-cache}
HISTORY=${HISTORY:-build/regress-history/history.jsonl}
RED=${RED:-build/regress-red}
export PATH="$PWD/.venv/bin:$PATH"  # where `make setup` installs

install() {
    CI=true make setup  # as root, or through sudo where that asks for no password
}

run() {
    local status=0
    mkdir -p "$OUT"
    sparseflow regress "$SUITE" --out "$OUT" --cache "$CACHE" --lines \
        --history "$HISTORY" --artifacts "$RED" --badge "$OUT/badge.svg" || status=$?
    if (( status < 2 )); then  # green or red; what is not even read has no summary
        cat "$OUT/summary.md"
    fi
    return "$status"
}

for part in "${@:-install run}"; do
    for step in $part; do
        "$step"
    done
done
