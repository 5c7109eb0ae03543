# What the guest does; busybox sh sources it. work_NAME is a benign workload, at home in /data/home, with $SEED; what has no
# such function is a pattern of the emulator. prepare_NAME makes what is there before the run begins. Loops over files end after
# $SECONDS_MOST.

SECONDS_MOST=25
begin() { read -r up _ </proc/uptime; up_end=$((${up%.*} + SECONDS_MOST)); }
more() { read -r up _ </proc/uptime; [ "${up%.*}" -lt "$up_end" ]; }
pick() { set -- $1; shift $((SEED % $#)); echo "$1"; } # pick "A B C": one of them, by seed
by_seed() { while read -r item; do echo "$(echo "$SEED $item" | md5sum | cut -c 1-8) $item"; done | sort; } # lines, a number before each
# /usr/bin/…: busybox's shell prefers its own of that name.
home=/data/home

# --- archives
work_zip() { zip -qr "$(pick "-1 -6 -9")" /data/home.zip .; }
work_unzip() { zip -qr1 /data/home.zip letters office accounts; sync; rm -rf letters office accounts; sync; /usr/bin/unzip -qo /data/home.zip; }
work_7z() { 7zz a -bd -mmt1 -mx=1 /data/home.7z letters accounts office logs >/dev/null; }
work_targz() { tar -cf - . | gzip -c >/data/home.tgz; }
work_xzeach() { begin; for f in $(pick "letters office logs")/* accounts/*; do more || break; /usr/bin/xz -1 "$f"; done; } # each is replaced
# --- encryption that the user wants
work_gpg() {
  begin
  mkdir -p /run/gpg && chmod 700 /run/gpg
  export GNUPGHOME=/run/gpg
  for f in $(pick "letters office accounts")/* logs/*; do
    more || break
    gpg --batch --quiet --pinentry-mode loopback --passphrase decoy --s2k-count 65536 -c "$f" 2>>/run/gpg.err && rm "$f"
  done
  gpgconf --kill all >/dev/null 2>&1
  [ -n "$(find /data -name "*.gpg")" ] || { cat /run/gpg.err; return 1; }
}
work_openssl() {
  begin
  for f in $(pick "office letters accounts")/* photos/*; do
    more || break
    openssl enc -aes-256-cbc -pbkdf2 -iter 100 -pass pass:decoy -in "$f" -out "$f.aes" && rm "$f"
  done
}
work_gpgtar() {
  mkdir -p /run/gpg && chmod 700 /run/gpg
  export GNUPGHOME=/run/gpg
  tar -cf - . | gpg --batch --quiet --pinentry-mode loopback --passphrase decoy --s2k-count 65536 -c -o /data/home.tar.gpg 2>>/run/gpg.err
  gpgconf --kill all >/dev/null 2>&1
  [ -n "$(find /data -name "*.gpg")" ] || { cat /run/gpg.err; return 1; }
}
# --- secure deletion, of one folder
work_shred() { begin; for f in $(pick "photos letters office")/*; do more || break; /usr/bin/shred -u -n "$(pick "1 2 3")" "$(pick "-z -v")" "$f" 2>/dev/null; done; }
# --- developers and databases
work_git() {
  git config --global user.email a@decoy; git config --global user.name a
  git init -q /data/work && cp -r letters accounts logs office /data/work/ && cd /data/work || return
  git add . && git commit -qm one
  for f in letters/*; do echo "a line" >>"$f"; done
  git commit -qam two && git gc -q
}
work_sqlite() {
  begin
  sqlite3 /data/shop.db "pragma journal_mode=$(pick "wal delete truncate"); create table t(id integer primary key, a text, b blob); create index i on t(a);" >/dev/null
  while more; do
    sqlite3 /data/shop.db "begin; with recursive n(x) as (select 1 union all select x+1 from n where x<400) insert into t(a,b) select hex(randomblob(8)), randomblob(200) from n; commit; update t set b=randomblob(200) where id % 50 = abs(random()) % 50; delete from t where id % 211 = abs(random()) % 211;"
  done
  sqlite3 /data/shop.db vacuum
}
work_install() { for p in /tools/packages/*.tar; do mkdir -p /data/root; tar -xf "$p" -C /data/root; sync; done; rm -rf /data/root/usr/share/perl; sync; }
# --- copies
work_rsync() { rsync -a "$home/" /data/backup/; sync; for f in letters/*; do echo "a line" >>"$f"; done; rsync -a --delete "$home/" /data/backup/; }
work_cp() { cp -a "$home" /data/backup; sync; rm -rf /data/backup; }
work_media() { mkdir -p photos/trip; for f in /tools/card/*; do cp "$f" photos/trip/; [ $((SEED % 2)) = 0 ] || sync; done; }
work_dd() { dd if=/tools/card.img of=/data/vm.img bs=64k conv=notrunc 2>/dev/null; sync; dd if=/data/vm.img of=/data/vm2.img bs=1M 2>/dev/null; }
# --- everyday
work_office() { errands office "$home/office" "$SEED" "$SECONDS_MOST"; }
work_cache() { errands cache /data "$SEED" "$SECONDS_MOST"; }
work_mail() { errands mail /data "$SEED" "$SECONDS_MOST"; }
work_sed() { begin; for f in letters/* accounts/*; do more || break; sed -i 's/the/The/g; s/2026/2027/' "$f"; done; } # rewrites many files
work_scan() { find . -type f -exec sha256sum {} + >/data/sums; grep -rc letter . >/dev/null || true; }
work_idle() { sleep 20; }

# --- services; what is in /extra comes from extra.sh
extra() { PATH=/extra/usr/bin:$PATH LD_LIBRARY_PATH=/extra/usr/lib/x86_64-linux-gnu "$@"; }
owner() { extra /extra/usr/bin/setpriv --reuid 70 --regid 70 --clear-groups "$@"; } # a server does not run as root
prepare_postgres() {
  mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
  tar -xzf /extra/cluster.tar.gz -C /data && chown -R 70:70 /data/pg && chmod 700 /data/pg
}
work_postgres() {
  mkdir -p /run/pg && chown 70 /run/pg
  owner /extra/usr/postgres/postgres -D /data/pg -k /run/pg >/run/pg.log 2>&1 &
  server=$!
  begin
  until [ -S /run/pg/.s.PGSQL.5432 ]; do more || { cat /run/pg.log; return 1; }; sleep 1; done
  echo "vacuum full pgbench_accounts; create index on pgbench_accounts (abalance, aid);" >/run/pg/tidy.sql
  bench="owner /extra/usr/postgres/pgbench -n -h /run/pg -U postgres" rate=$(pick "20 60 0")
  until $bench -t 1 -b select-only shop >/dev/null 2>&1; do more || { cat /run/pg.log; return 1; }; sleep 1; done # it starts up
  set -- -T $((SECONDS_MOST * 3 / 4)) -c "$(pick "1 2 4")" -b "$(pick "tpcb-like simple-update")"
  [ "$rate" = 0 ] || set -- "$@" --rate "$rate"
  $bench "$@" shop >/run/pg.out 2>&1 &&
    $bench -t 1 -f /run/pg/tidy.sql shop >>/run/pg.out 2>&1 || { cat /run/pg.out; return 1; }
  kill -INT "$(head -n 1 /data/pg/postmaster.pid)" && wait $server
}
work_dpkg() {
  mkdir -p /data/root/var/lib/dpkg/info /data/root/var/lib/dpkg/updates && touch /data/root/var/lib/dpkg/status /data/root/var/lib/dpkg/available
  begin
  for deb in $(ls /extra/debs/*.deb | by_seed | cut -c 10-) /extra/debs/*.deb; do # all are new, then some are replaced
    more || break
    extra /extra/usr/bin/dpkg --root=/data/root --force-all --unpack "$deb" >/run/dpkg.log 2>&1 || { cat /run/dpkg.log; return 1; }
  done
}
# --- what is encrypted because the user wants it so
work_restic() { # a backup, work, another one that finds most of it there
  export RESTIC_PASSWORD=decoy RESTIC_REPOSITORY=/data/backups
  extra restic --no-cache -q init && extra restic --no-cache -q backup "$home" || return
  sync
  for f in letters/* accounts/*; do echo "a line" >>"$f"; done
  extra restic --no-cache -q backup "$home" && extra restic --no-cache -q forget --keep-last 1 --prune
}
work_gocryptfs() { # a folder that is encrypted file by file, and work in it
  mkdir -p /data/vault /run/vault
  extra gocryptfs -q -init -scryptn 10 -extpass "echo decoy" /data/vault &&
    extra gocryptfs -q -nosyslog -extpass "echo decoy" /data/vault /run/vault || return
  cp -r office "$(pick "letters photos accounts")" /run/vault/
  sync
  errands office /run/vault/office "$SEED" $((SECONDS_MOST / 2))
  sqlite3 /run/vault/book.db "create table t(id integer primary key, b blob); with recursive n(x) as (select 1 union all select x+1 from n where x<4000) insert into t(b) select randomblob(200) from n;"
  sqlite3 /run/vault/book.db "update t set b=randomblob(200) where id % 7 = 0; delete from t where id % 5 = 0; vacuum;"
  for try in 1 2 3 4 5; do umount /run/vault && break; sleep 1; done
}
prepare_container() { dd if=/tools/card.img of=/data/container bs=1M count=4 2>/dev/null; for i in 1 2 3 4 5; do cat /tools/card/img_$((i * 2)).jpg; done >>/data/container; }
work_container() { errands container /data/container "$SEED" "$SECONDS_MOST"; }
# --- disks and large files
prepare_vmimage() { cat /tools/card.img /tools/card/film.mp4 >/data/vm.raw; dd if=/dev/zero bs=1M count=8 >>/data/vm.raw 2>/dev/null; }
work_vmimage() { errands vmimage /data/vm.raw "$SEED" "$SECONDS_MOST"; }
work_torrent() { mkdir -p /data/downloads; errands torrent /data/downloads "$SEED" "$SECONDS_MOST"; }
work_photos() { errands photos "$home/photos" "$SEED" "$SECONDS_MOST"; }
work_defrag() { errands defrag "$home" "$SEED" "$SECONDS_MOST"; }
work_logs() { # rotated every few seconds: renamed, compressed, the oldest deleted
  mkdir -p /data/log
  begin
  errands logs /data/log "$SEED" "$SECONDS_MOST" &
  writer=$! round=0
  while sleep "$(pick "3 5 4")"; more; do
    round=$((round + 1))
    for f in /data/log/*.log; do mv "$f" "$f.$round"; done
    for f in /data/log/*.log."$round"; do gzip -c "$f" >"$f.gz" && rm "$f"; done
    [ $round -le 3 ] || rm -f /data/log/*.log.$((round - 3)).gz
  done
  wait $writer
}
# --- all of the above, $DAY, once each in an order by seed, with pauses; what was lost at home comes back from a copy
prepare_day() {
  for name in $DAY; do ! type "prepare_$name" >/dev/null 2>&1 || "prepare_$name"; done
  cp -a $home /data/copy
}
work_day() {
  ls -d /data/* >/run/kept
  echo $DAY | tr ' ' '\n' | by_seed | while read -r number name; do
    case "$FS $name" in *"fat postgres" | *"fat dpkg") continue ;; esac
    echo "@@ part $name"
    cd $home || break
    ("work_$name") </dev/null || note "failed: $name ended with $?"
    echo "@@ part pause"
    sleep $((3 + 0x$(echo "$number" | cut -c 1-2) % 10))
    echo "@@ part tidy"
    for left in /data/*; do grep -qxF "$left" /run/kept || rm -rf "$left"; done
    rsync -a --delete /data/copy/ $home/
    echo "@@ part pause"
    sleep $((3 + 0x$(echo "$number" | cut -c 3-4) % 12))
  done
}
