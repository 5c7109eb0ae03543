# history: an ext4 disk that debugfs changes step by step, recorded at each step; and FAT.
source "$CHV_SOURCE/tests/functions.sh"
requires mke2fs debugfs python3
record=$BUILD/tests/files/files-record
time=1700000000 n=0
step() { # step: run debugfs commands from stdin on a copy, record it a minute later
  cp v$n v$((n + 1))
  n=$((n + 1)) time=$((time + 60))
  debugfs -w -f /dev/stdin v$n >/dev/null 2>&1
  "$record" store disk:a $time v$n v$((n - 1))
}
head -c 20000 /dev/urandom >f1
head -c 300000 /dev/urandom >f2
seq 1000 >f3
truncate -s 16M v0
mke2fs -q -t ext4 -O ^has_journal v0
"$record" store disk:a $time v0
step <<<"mkdir docs"
step <<<"write f1 docs/a" # 2
step <<<"write f3 other"
step <<<$'rm docs/a\nwrite f2 docs/a' # 4
step <<<"set_inode_field docs/a mode 0100600" # 5
for i in 1 2 3 4 5; do step <<<"write f3 other$i"; done
step <<<$'link docs/a docs/b\nunlink docs/a' # 11
step <<<"write f1 docs/a" # 12
step <<<"symlink link docs/a"

chronovisor history /docs/a --store store --json >json
python3 - "$(sha256sum <f1 | cut -c1-64)" "$(sha256sum <f2 | cut -c1-64)" <<'PY' || { cat json; fail "history of /docs/a"; }
import datetime, json, sys
f1, f2 = sys.argv[1:]
rows = [json.loads(line) for line in open("json")]
minute = [(datetime.datetime.fromisoformat(r["time"][:19] + "+00:00").timestamp() - 1700000000) / 60 for r in rows]
assert [r["change"] for r in rows] == ["created", "modified", "metadata", "renamed", "reappeared"], rows
assert minute == [2, 4, 5, 11, 12], minute
assert [r.get("sha256") for r in rows] == [f1, f2, f2, None, f1]
assert rows[1]["file"]["size"] == 300000 and rows[2]["file"]["mode"] == "0600" and rows[3]["renamed_to"] == "/docs/b"
PY
# what it says is what cat gives at that instant
seq=$(python3 -c "import json; print([json.loads(x) for x in open('json')][1]['seq'])")
chronovisor cat /docs/a --at "seq:$seq" --store store | cmp - f2 || fail "cat at seq:$seq"
chronovisor cat /docs/a --at "@$((1700000000 + 3 * 60))" --store store | cmp - f1 || fail "cat at minute 3"
chronovisor history /other --store store --json >json
[[ $(wc -l <json) == 1 ]] || fail "other files' changes show up in the history of /other"
expect_exit 1 chronovisor history /never --store store
chronovisor history /docs/a --from @$((1700000000 + 3 * 60)) --to @$((1700000000 + 4 * 60)) --store store --json >json
[[ $(grep -o '"change": "[a-z]*"' json | tr '\n' ' ') == '"change": "existed" "change": "modified" ' ]] || fail "--from, --to"
one_line_error chronovisor history /docs/a --limit 3 --store store
grep -q 'limit' err
chronovisor ls -r --store store --at @$((1700000000 + 60 * 11)) | grep -q '/docs/b$' || fail "ls after the rename"
chronovisor ls --store store | grep -q 'link -> docs/a$' || fail "ls shows where a link leads"
