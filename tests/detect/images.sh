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
one_line_error chronovisor images --ransap ransap --store x -o x
one_line_error env -u CHRONOVISOR_STORE "$BUILD/cli/chronovisor" images -o x

# a recording: windows count from its first access, and their instants are told
dd if=/dev/urandom of=f bs=4096 count=64 status=none
{
  echo 'space disk:vda 67108864 zero'
  for i in 1 2 3 75 76; do printf 'at %d.5\nwrite %d f 0 %d\nread %d 64\n' "$i" $((i * 800)) $((4096 * 40)) $((i * 1600)); done
  echo flush
} | "$BUILD/tests/search/synth" store 4096
expect_exit 0 chronovisor images --store store -o recorded --json
cp out listed
[[ $(find recorded -name '*.png' | sort | tr '\n' ' ') == "recorded/disk:vda/recorded-000.png recorded/disk:vda/recorded-002.png " ]] ||
  fail "of a recording: $(find recorded -type f)"
grep -q '"file":"recorded/disk:vda/recorded-002.png","from":"2100-01-01T00:01:01.500000Z","to":"2100-01-01T00:01:31.500000Z"' listed || fail "$(cat listed)"
CHRONOVISOR_STORE=store expect_exit 0 chronovisor images --space disk:vda -o reads --reads-only --kind gadf
(($(find reads -name "*.png" | wc -l) >= 2)) || fail "reads of a recording: $(find reads -type f)"
one_line_error chronovisor images --store store --space disk:no -o x
one_line_error chronovisor images --store store -o /dev/null
