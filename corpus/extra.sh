# The guest's second disk of programs, for the workloads that need more than others: PostgreSQL, dpkg with real packages, restic,
# gocryptfs. Made when a run wants it.

EXTRA_WORKLOADS=(postgres dpkg restic gocryptfs day)
# Of many files, and without scripts: those would run inside the guest's folder, where there is no shell.
EXTRA_DEBS=(manpages perl-modules-5.36 linux-libc-dev fonts-dejavu-core libpython3.11-stdlib wamerican)

# debs_get DIR: the packages as files, downloaded once; any version will do
debs_get() {
  local p log
  mkdir -p "$1"
  log=$(mktemp "$1/log.XXXXXX")
  for p in "${EXTRA_DEBS[@]}"; do
    compgen -G "$1/${p}_*.deb" >/dev/null && continue
    (cd "$1" && apt-get -qq download "$p" >"$log" 2>&1) ||
      { echo "make: cannot download the package $p: $(grep -m1 '^E:' "$log" || echo 'is the network there?')" >&2; rm -f "$log"; return 1; }
  done
  rm -f "$log"
}

# cluster_make BIN FILE: a database cluster with pgbench's tables, packed. A server does not run as root.
cluster_make() (
  bin=$1 file=$2 as=()
  work=$(mktemp -d "${TMPDIR:-/tmp}/chv-cluster-XXXXXX")
  trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
  if [[ $(id -u) == 0 ]]; then chown 65534:65534 "$work"; as=(setpriv --reuid 65534 --regid 65534 --clear-groups); fi
  cd "$work" || exit 1
  "${as[@]}" "$bin/initdb" -D "$work/pg" -U postgres -A trust -E UTF8 --locale C -N >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 1; }
  cat >>"$work/pg/postgresql.conf" <<'C'
listen_addresses = ''
timezone = 'GMT'
log_timezone = 'GMT'
jit = off
shared_buffers = 16MB
checkpoint_timeout = 30s
C
  "${as[@]}" "$bin/postgres" -D "$work/pg" -k "$work" >"$work/log" 2>&1 &
  server=$!
  for ((i = 0; i < 100; i++)); do "${as[@]}" "$bin/pg_isready" -q -h "$work" && break; sleep 0.1; done
  "${as[@]}" "$bin/createdb" -h "$work" -U postgres shop &&
    "${as[@]}" "$bin/pgbench" -i -q -s 1 -h "$work" -U postgres shop >>"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  kill -INT "$server" && wait "$server"
  tar -czf "$file" --owner=70 --group=70 -C "$work" pg
)

# extra_image IMAGE DEBS: once; keeps the downloaded packages in DEBS
extra_image() {
  local image=$1 debs=$2 root p path bin
  [[ ! -s $image || $SOURCE/corpus/extra.sh -nt $image ]] || return 0
  bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
  [[ -n $bin && -x $bin/pgbench ]] || { echo "make: needs PostgreSQL; run tools/setup corpus" >&2; return 1; }
  debs_get "$debs" || return 1
  root=$(mktemp -d "$image.XXXXXX")
  mkdir -p "$root"/{usr/bin,debs}
  for p in dpkg dpkg-deb dpkg-split tar restic gocryptfs fusermount setpriv; do
    path=$(command -v "$p") || { echo "make: needs $p; run tools/setup corpus" >&2; rm -rf "$root"; return 1; }
    program_copy "$root" "$(readlink -f "$path")"
    [[ -e $root/usr/bin/$p ]] || ln -s "$(basename "$(readlink -f "$path")")" "$root/usr/bin/$p"
  done
  for p in postgres pgbench; do program_copy "$root" "$bin/$p"; done
  mkdir -p "$root${bin%/bin}/lib"
  cp -L "${bin%/bin}"/lib/{plpgsql,dict_snowball}.so "$root${bin%/bin}/lib/"
  ln -s "${bin#/usr/}" "$root/usr/postgres"
  path=/usr/share/postgresql/$(basename "${bin%/bin}")
  mkdir -p "$root$path"
  cp -RL "$path/timezonesets" "$root$path/"
  cp "$debs"/*.deb "$root/debs/"
  cluster_make "$bin" "$root/cluster.tar.gz" || { rm -rf "$root"; return 1; }
  image_pack "$root" "$image"
}
