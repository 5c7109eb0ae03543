# The worker that parses: see worker.c.
source "$CHV_SOURCE/tests/functions.sh"
requires mke2fs debugfs
echo kept >kept
truncate -s 8M image
mke2fs -q -t ext4 image
debugfs -w -R "write kept kept" image >/dev/null 2>&1
# with a sanitizer built in, the jail stays open (base/jail.c)
if grep -qaE '__(asan|tsan)_init' "$BUILD/tests/files/files-worker"; then export CHV_SANITIZED=1; fi
"$BUILD/tests/files/files-worker" image
