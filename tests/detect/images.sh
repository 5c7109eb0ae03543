# images: a picture a window in a folder a class, of the size asked for; and what cannot be drawn.
source "$CHV_SOURCE/tests/functions.sh"
requires python3
run=ransap/dataset/original/win7-250gb-hdd/Cerber/run-1
mkdir -p $run
python3 - $run <<'END'
import sys
with open(sys.argv[1] + "/ata_read.csv", "w") as r, open(sys.argv[1] + "/ata_write.csv", "w") as w:
    for i in range(4000):  # 70 seconds, the second of three windows empty
        t = 1586844820 + (i // 100 if i < 3000 else 60 + (i - 3000) // 100)
        ticks = i % 100 * 10000000
        r.write(f"{t},{ticks},{1000000 + i * 64},4096,0.3,0.3\n")
        w.write(f"{t},{ticks + 5000000},{1000000 + i * 64},4096,0.99,0.99\n")
END
png() { python3 -c 'import struct,sys; d=open(sys.argv[1],"rb").read(); assert d[:8]==b"\x89PNG\r\n\x1a\n"; print(*struct.unpack(">II", d[16:24]))' "$1"; }

expect_exit 0 chronovisor images --ransap ransap -o heat --json
[[ $(find heat -name '*.png' | sort | tr '\n' ' ') == "heat/Cerber/win7-250gb-hdd-run-1-000.png heat/Cerber/win7-250gb-hdd-run-1-002.png " ]] ||
  fail "heat maps: $(find heat -type f)"
[[ $(png heat/Cerber/win7-250gb-hdd-run-1-000.png) == "224 224" ]] || fail "size"
expect_exit 0 chronovisor images --ransap ransap -o fields --kind gadf --size 64x48 --window 10
(($(find fields -name '*.png' | wc -l) >= 4)) || fail "angular fields: $(find fields -type f)"
[[ $(png "$(find fields -name '*.png' | head -1)") == "64 48" ]] || fail "size of fields"

expect_exit 2 chronovisor images --ransap nowhere -o x
expect_exit 2 chronovisor images --ransap ransap
expect_exit 2 chronovisor images --ransap ransap -o x --kind gif
expect_exit 2 chronovisor images --ransap ransap -o x --size 4x4
expect_exit 2 chronovisor images --ransap ransap -o x --kind gadf --features no-such-feature
