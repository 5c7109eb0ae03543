# The corpus: one harmless program and one emulated ransomware, recorded by the command that makes all of it; the manifest says
# what the store holds, to the file and to the instant.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio mke2fs zip unzip 7zz xz gpg openssl git sqlite3 rsync ntfs-3g cryptsetup python3
CLEANUP+=(make_kill)
make_kill() { [[ -z ${MAKE:-} ]] || kill "$MAKE"; }
one_line_error "$SOURCE/corpus/make" --only 'zip-*'
one_line_error "$SOURCE/corpus/make" --jobs many -o corpus
one_line_error "$SOURCE/corpus/make" --mib 4 -o corpus
one_line_error "$SOURCE/corpus/make" --days some -o corpus
[[ $("$SOURCE/corpus/make" --list --days 2 --mib 512 --only 'day-*' | xargs) == 'day-ext4-512-1 day-luks-512-2' ]] || fail "--days"
one_line_error "$SOURCE/corpus/make" --filesystems ext4,zfs -o corpus
[[ $("$SOURCE/corpus/make" --list --rounds 1 --filesystems jfs,f2fs,nilfs2,reiserfs,udf,gfs2 --only '@(zip|inplace|dpkg)-*' | xargs) == \
  'zip-jfs-16-1 inplace-jfs-16-1 dpkg-gfs2-24-1' ]] || fail "--filesystems"
[[ $("$SOURCE/corpus/make" --list --only '*-luks-*-1' | wc -l) -gt 4 ]] || fail "--list"

export CHRONOVISOR=$BUILD/cli/chronovisor
"$SOURCE/corpus/make" --only '@(zip|inplace)-ext4-16-1' -o corpus >out 2>&1 &
MAKE=$!
wait "$MAKE" || { cat out corpus/runs/*.console >&2; fail "make"; }
MAKE=
[[ $(tail -n 1 out) == "2 runs, 0 failed; 2 in "* ]] || { cat out >&2; fail "not two runs"; }
for run in zip inplace; do
  chronovisor verify --store "corpus/runs/$run-ext4-16-1/store" >/dev/null || fail "$run: verify"
  chronovisor events --store "corpus/runs/$run-ext4-16-1/store" --json >"$run.events"
done
python3 - <<'P' || fail "the manifest"
import json
runs = {r["workload"]: r for r in map(json.loads, open("corpus/manifest.json"))}
zip, bad = runs["zip"], runs["inplace"]
assert (zip["label"], bad["label"]) == ("benign", "ransomware"), runs
assert zip["malicious_ns"] is None and zip["files_hit"] == 0, zip
assert bad["begin_ns"] < bad["malicious_ns"] < bad["finish_ns"], bad
assert bad["files_hit"] == bad["tree_files"] > 20 and bad["bytes_hit"] >> 10 == bad["tree_kib"], bad
assert zip["tree_kib"] == bad["tree_kib"], "the same seed makes the same tree"
assert len(open("corpus/" + bad["hits"]).readlines()) >= 2
for run in runs.values():
    events = [json.loads(line) for line in open(run["workload"] + ".events")]
    after = [e for e in events if e["time_ns"] > (run["malicious_ns"] or run["begin_ns"]) and e["op"] == "write"]
    reads = [e for e in events if e["op"] == "read"]
    size = sum(e["sectors"] * 512 for e in after)
    print(run["run"], len(events), "events,", size >> 10, "KiB written after the beginning,", len(reads), "reads")
    assert reads, "no reads recorded"
    assert size > run["bytes_hit"] * 0.9, "what was overwritten is in the log"
P
# the two are a data set: learned from, what was lost before the alarm is said
expect_exit 0 chronovisor train --corpus corpus --model rf --features wide --mode paired --no-evaluate -o both.model
expect_exit 0 chronovisor evaluate --corpus corpus --model both.model --json
python3 - <<'P' || fail "evaluate: $(cat out)"
import json
e, bad = json.loads(open("out").read()), [r for r in map(json.loads, open("corpus/manifest.json")) if r["workload"] == "inplace"][0]
l = e["losses"]
assert (e["benign_runs"], e["ransomware_runs"], l["runs"]) == (1, 1, 1) and e["benign_hours"] > 0, e
assert 0 <= l["files_disk"]["worst"] <= l["files_guest"]["worst"] <= bad["files_hit"], l
assert l["bytes_guest"]["worst"] <= bad["bytes_hit"] and 0 <= l["overwritten_share"]["worst"] <= 1.2, l
print("lost:", l)
P
