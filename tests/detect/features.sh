#!/usr/bin/env bash
# Features against a slow plain reference, bit for bit: stored vectors and made ones, every set.
set -euo pipefail
rows=$1 here=$(cd "$(dirname "$0")" && pwd)
reference=$here/features_reference.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

names() { "$rows" "$1" names | cut -d' ' -f1 | paste -sd,; }
for seed in 1 2 3 4; do python3 -B "$reference" make "$seed" 150 >"$work/made-$seed.accesses"; done
for vector in "$here"/vectors/*.accesses "$work"/*.accesses; do
  for set in paper default read wide content; do
    "$rows" "$set" <"$vector" >"$work/ours"
    python3 -B "$reference" rows "$set" "$(names "$set")" <"$vector" >"$work/theirs"
    [[ -s $work/ours ]] || { echo "features: $vector: no rows"; exit 1; }
    cmp "$work/ours" "$work/theirs" || { echo "features: ${vector##*/}, set $set: not the reference's"; exit 1; }
    # What is kept must stay: models were trained by it.
    kept=${vector%.accesses}.$set
    [[ ! -e $kept ]] || cmp "$work/ours" "$kept" || { echo "features: $kept has changed"; exit 1; }
  done
done
