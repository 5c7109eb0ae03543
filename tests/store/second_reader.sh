# The second reader agrees with the first on good stores, and sees every kind of damage on its own.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires python3 openssl
READER=$SOURCE/tests/store/reader.py
make_log() { python3 "$SOURCE/tests/import/make_log.py" "$@"; }
seed=${CHV_SEED:-$RANDOM}; echo "seed $seed"

openssl genpkey -algorithm ed25519 -out key.pem
make_log a.log 512 $((200 * 4096)) 120 "$seed"
make_log b.log 512 $((100 * 4096)) 60 $((seed + 1))
import_log() { chronovisor import blklogwrites "$@" >out; }
for s in "plain 4096" "small 512"; do
  read -r name block <<<"$s"
  import_log a.log --store "$name" --space disk:a --size $((200 * 4096)) --block-size "$block" --start @1700000000
  import_log b.log --store "$name" --space disk:b --size $((100 * 4096)) --start @1700000100
  "$SOURCE/tests/store/second_reader" "$name"
done

# Signed, and long enough to have a sealed segment.
python3 - many.log <<'PY'
import struct, sys
n = 66000
with open(sys.argv[1], 'wb') as f:
    f.write(struct.pack('<QQQI', 0x6a736677736872, 1, n, 512).ljust(512, b'\0'))
    f.write(struct.pack('<QQQQ', 0, 0, 1, 0).ljust(512, b'\0') * n)
PY
import_log a.log --store signed --space disk:a --size $((200 * 4096)) --start @1700000000 --sign key.pem
import_log many.log --store signed --space disk:a --start @1700000050 --sign key.pem
import_log b.log --store signed --space disk:b --size $((100 * 4096)) --start @1700000100 --sign key.pem
"$SOURCE/tests/store/second_reader" signed

# After a prune the log begins with a carry segment.
cp -r plain pruned
chronovisor prune --store pruned --before @1700000050 --reason test >out
"$SOURCE/tests/store/second_reader" pruned
python3 "$READER" pruned events >out; grep -q '"op": "PRUNE"' out || fail "not pruned"

# A checkpoint fits, and no longer when the tail is cut.
chronovisor checkpoint --store signed >checkpoint
python3 "$READER" signed checkpoint checkpoint >out || fail "checkpoint: $(cat out)"
sed 's/^seq: ./&0/' checkpoint >forged
! python3 "$READER" signed checkpoint forged >out || fail "a forged checkpoint fits"

# damage NAME: a copy of the signed store to break
damage() { rm -rf bad; cp -r signed bad; chmod -R u+w bad; what=$1; }
flip() { python3 - "$@" <<'PY'
import sys
path, offset = sys.argv[1], int(sys.argv[2])
with open(path, 'r+b') as f:
    f.seek(offset, 2 if offset < 0 else 0)
    byte = f.read(1)[0]
    f.seek(-1, 1)
    f.write(bytes([byte ^ 16]))
PY
}
# found: both readers see it
found() {
  ! python3 "$READER" bad verify >second.out 2>&1 || fail "the second reader does not see: $what"
  ! chronovisor verify --store bad >first.out 2>&1 || fail "verify does not see: $what"
}
segments=(signed/log/*.seg) packs=(signed/packs/*.pack)
((${#segments[@]} >= 2)) || fail "wanted more than one segment, there are ${#segments[@]}"
first=bad/${segments[0]#signed/} pack=bad/${packs[0]#signed/}
damage "a flipped magic"; flip "$first" 3; found
damage "a flipped header"; flip "$first" 50; found
damage "a flipped event"; flip "$first" $((128 + 64 * 5 + 17)); found
damage "a flipped hash"; flip "$first" $((128 + 64 * 3 + 40)); found
damage "a flipped footer"; flip "$first" -180; found
damage "a flipped signature"; flip "$first" -100; found
damage "a flipped block"; flip "$pack" 120; found
damage "a flipped hash in a pack"; flip "$pack" 70; found
damage "a missing segment"; rm "$first"; found
damage "a missing pack"; rm "$pack"; found
damage "a cut pack"; truncate -s -20 "bad/${packs[-1]#signed/}"; found
damage "swapped segments"; mv "$first" x; mv "bad/${segments[1]#signed/}" "$first"; mv x "bad/${segments[1]#signed/}"; found
damage "a changed custody line"; sed -i '1s/"user"/"uzer"/' bad/custody.jsonl; found
rm -rf plain small signed pruned bad # compared above
