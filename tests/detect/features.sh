#!/usr/bin/env bash
# Features against a slow plain reference, bit for bit: stored vectors and made ones, every set; as an encrypted disk shows them, and
# whether it is taken for one.
set -euo pipefail
rows=$1 here=$(cd "$(dirname "$0")" && pwd)
reference=$here/features_reference.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

names() { "$rows" "$1" names | cut -d' ' -f1 | paste -sd,; }
# same WHAT ARGUMENTS-OF-OURS... -- ARGUMENTS-OF-THEIRS... < ACCESSES
same() {
  local what=$1 accesses=$work/accesses ours=()
  shift
  cat >"$accesses"
  while [[ $1 != -- ]]; do ours+=("$1"); shift; done
  shift
  "$rows" "${ours[@]}" <"$accesses" >"$work/ours"
  python3 -B "$reference" "$@" <"$accesses" >"$work/theirs"
  [[ -s $work/ours ]] || { echo "features: $what: no rows"; exit 1; }
  cmp "$work/ours" "$work/theirs" || { echo "features: $what: not the reference's"; exit 1; }
}
for seed in 1 2 3 4; do python3 -B "$reference" make "$seed" 150 >"$work/made-$seed.accesses"; done
for vector in "$here"/vectors/*.accesses "$work"/*.accesses; do
  for set in paper default read wide content; do
    same "${vector##*/}, set $set" "$set" -- rows "$set" "$(names "$set")" <"$vector"
    # What is kept must stay: models were trained by it.
    kept=${vector%.accesses}.$set
    [[ ! -e $kept ]] || cmp "$work/ours" "$kept" || { echo "features: $kept has changed"; exit 1; }
  done
  same "${vector##*/}, as an encrypted disk shows it" content encrypted -- rows content "$(names content)" encrypted <"$vector"
  same "${vector##*/}, encrypted?" content gate -- gate content <"$vector"
  ! grep -q ' 1$' "$work/ours" || { echo "features: ${vector##*/} is taken for an encrypted disk's"; exit 1; }
  same "${vector##*/}, as an encrypted disk shows it: encrypted?" content gate encrypted -- gate content encrypted <"$vector"
  [[ $(wc -l <"$vector") -lt 5000 ]] || grep -q ' 1$' "$work/ours" || { echo "features: ${vector##*/}: as an encrypted disk shows it, it is not taken for one"; exit 1; }
done
# encrypted first, then not, then encrypted again
python3 - >"$work/turns" <<'PY'
start, step = 1600000000 * 10**9, 5 * 10**6
for i in range(17000):
    print(start + i * step, i * 8, 8, 1, 2, 30000 if 3000 <= i < 3026 else 65100, 0)
for i in range(3000):
    print(start + (17000 + i) * step, i * 8, 8, 0, 4, 0, 65100 if i % 9 else 40000)
PY
same turns content gate -- gate content <"$work/turns"
[[ $(cut -d' ' -f2 "$work/ours" | uniq | paste -sd,) == 0,1,0,1,0 ]] || { echo "features: turns: $(cut -d' ' -f2 "$work/ours" | uniq | paste -sd,)"; exit 1; }
