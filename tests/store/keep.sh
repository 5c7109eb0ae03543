#!/usr/bin/env bash
# verify, checkpoint (with an RFC 3161 time stamp), reindex, prune and the custody log, on a signed store.
. "$CHV_SOURCE/tests/functions.sh"
requires openssl python3 qemu-img

openssl genpkey -algorithm ed25519 -out key.pem 2>/dev/null
state() { # state N: a 4 MiB disk whose blocks depend on N; the first half never changes
  python3 - "$1" >"disk$1.img" <<'PY'
import hashlib, sys
n = int(sys.argv[1])
for block in range(1024):
    key = b"%d/%d" % (block, 0 if block < 512 else n if block % 3 else n // 2)
    sys.stdout.buffer.write((hashlib.sha256(key).digest() * 128) if block % 7 else bytes(4096))
PY
}
import() { chronovisor import snapshot "disk$1.img" --at "2026-01-0${1}T00:00:00Z" --store case --space disk:a "${@:2}" >/dev/null; }
same() { chronovisor restore --store case --at "2026-01-0${1}T12:00:00Z" -o - | cmp - "disk$1.img"; }

for n in 1 2 3 4 5; do state $n; done
import 1 --sign key.pem
import 2
chronovisor verify --store case >out
grep -q '^whole$' out || fail "a fresh store is not whole"
grep -q 'by nothing' out || fail "verify claims a checkpoint that is not there"

# a checkpoint is signed by the store's key and can be stamped and checked by RFC 3161 tools
chronovisor checkpoint --store case >safe.txt
grep -q '^signature: ' safe.txt || fail "the checkpoint is not signed"
mkdir ca && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca/key.pem -out ca/cert.pem -days 2 -subj /CN=local-tsa \
  -addext extendedKeyUsage=critical,timeStamping >/dev/null 2>&1
printf '%s\n' '[tsa]' 'default_tsa = t' '[t]' 'serial = serial' 'default_policy = 1.2.3.4' 'digests = sha256' \
  'signer_digest = sha256' 'accuracy = secs:1' >tsa.cnf
echo 01 >serial
openssl ts -query -data safe.txt -sha256 -cert -out safe.tsq 2>/dev/null
openssl ts -reply -config tsa.cnf -section t -queryfile safe.tsq -signer ca/cert.pem -inkey ca/key.pem -out safe.tsr 2>/dev/null
openssl ts -verify -data safe.txt -in safe.tsr -CAfile ca/cert.pem >/dev/null 2>&1 || fail "the time stamp does not verify"

# the log holds against the checkpoint, also later; a cut-off tail or a rewritten history does not
import 3
expect_exit 0 chronovisor verify --store case --checkpoint safe.txt
rm case/checkpoint
cp -r case cut
chronovisor checkpoint --store case >head.txt
segment=$(ls cut/log/*.seg | tail -n1)
truncate -s $(($(stat -c %s "$segment") - 64)) "$segment"
expect_exit 0 chronovisor verify --store cut
expect_exit 1 chronovisor verify --store cut --checkpoint head.txt
grep -q 'tail was cut off' out || fail "verify did not see the cut"
sed 's/^seq: ./seq: 9/' head.txt >forged.txt
one_line_error chronovisor verify --store case --checkpoint forged.txt
one_line_error chronovisor verify --store case --checkpoint /dev/null

import 4
import 5

# every kind of damage is named: a byte of the log, of a pack, of the custody log, a missing pack
flip() { python3 -c "
import sys
f = open(sys.argv[1], 'r+b'); f.seek(int(sys.argv[2])); b = f.read(1); f.seek(int(sys.argv[2])); f.write(bytes([b[0] ^ 1]))" "$@"; }
damaged() { # damaged PATTERN FILE OFFSET
  rm -rf hurt && cp -r case hurt && chmod -R u+w hurt && flip "hurt/$2" "$3"
  expect_exit 1 chronovisor verify --store hurt
  grep -q "$1" out || { cat out >&2; fail "verify did not name $2 at $3"; }
}
chronovisor prune --store case --before 2026-01-01T12:00:00Z --reason 'test' >/dev/null # also seals the segment
first=$(cd case && ls log/*.seg | head -n1)
for offset in 3 40 70 150 5000; do damaged "$first" "$first" $offset; done
damaged "$first" "$first" $(($(stat -c %s "case/$first") - 100)) # the signature
damaged 'packs/00000001.pack: the block at offset 64 is damaged' packs/00000001.pack 140
damaged 'custody.jsonl: line' custody.jsonl 30
rm -rf hurt && cp -r case hurt && rm -f hurt/packs/00000001.pack
expect_exit 1 chronovisor verify --store hurt
grep -q 'packs/00000001.pack: missing' out || fail "verify did not name the missing pack"

# reindex gives the same answers; prune keeps every later view exact and says what it did
chronovisor search --store case disk2.img >before.txt || true
rm -rf case/index/*
chronovisor reindex --store case >/dev/null
chronovisor search --store case disk2.img >after.txt || true
cmp before.txt after.txt
for n in 1 2 3 4 5; do same $n; done
size=$(du -sb case/packs | cut -f1)
chronovisor prune --store case --before 2026-01-03T12:00:00Z --reason 'retention' --json >out
grep -q '"dropped_events"' out
for n in 3 4 5; do same $n; done
one_line_error chronovisor restore --store case --at 2026-01-02T00:00:00Z -o x.img
grep -q pruned err || fail "an instant before the pruning was not refused as such"
chronovisor events --store case --op prune | grep -q prune || fail "no PRUNE event in the log"
[[ $(du -sb case/packs | cut -f1) -le $size ]] || fail "prune made the packs larger"
expect_exit 0 chronovisor verify --store case --checkpoint head.txt
grep -q '"action":"prune"' case/custody.jsonl && grep -q '"reason":"retention"' case/custody.jsonl || fail "prune is not in the custody log"
one_line_error chronovisor prune --store case
one_line_error chronovisor prune --store case --before 1999-01-01
one_line_error chronovisor verify --store /nonexistent
one_line_error chronovisor reindex --store case junk
