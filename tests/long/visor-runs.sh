#!/usr/bin/env bash
# visor-runs.sh [--loss] [--first SEED] [BOOT...]: fifty seeded runs of dd, mkfs, fio and files on NVMe and SATA disks, 32 requests at once, each
# recorded over the wire and compared with its disk, byte for byte (tests/visor/runs.sh). Five boots of ten runs: 1 to 4 with one processor,
# 5 with two. --loss: of the frames in either direction 1% are lost, 1% come twice, 3% late. A seed is always the same load.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export CHV_SOURCE=${CHV_SOURCE:-$here} CHV_BUILD=${CHV_BUILD:-$here/build-debug} MACHINE_SECONDS=${MACHINE_SECONDS:-1500}
loss=0 first=1 boots=()
while (($#)); do
  case $1 in
    --loss) loss=10 ;;
    --first) first=$2; shift ;;
    [1-5]) boots+=("$1") ;;
    *) echo "visor-runs.sh [--loss] [--first SEED] [1 to 5...]" >&2; exit 2 ;;
  esac
  shift
done
((${#boots[@]})) || boots=({1..5})
for one in "${boots[@]}"; do
  echo "--- boot $one"
  bash "$here/tests/visor/runs.sh" 10 $((first + 10 * (one - 1))) $((one == 5 ? 2 : 1)) "$loss"
done
