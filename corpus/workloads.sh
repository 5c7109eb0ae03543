# What the guest does; busybox sh sources it. work_NAME is a benign workload, at home in /data/home, with $SEED; what has no
# such function is a pattern of the emulator. Loops over files end after $SECONDS_MOST.

SECONDS_MOST=25
begin() { read -r up _ </proc/uptime; up_end=$((${up%.*} + SECONDS_MOST)); }
more() { read -r up _ </proc/uptime; [ "${up%.*}" -lt "$up_end" ]; }
pick() { set -- $1; shift $((SEED % $#)); echo "$1"; } # pick "A B C": one of them, by seed
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
