"""An operating system being installed on a disk behind an NBD server: packages of this host are downloaded
(as compressed archives), unpacked, synced, registered, and the archives deleted; then some are upgraded.
A real ext4 does the writing: NBD -> nbdfuse -> loop device -> mount (needs root)."""
import os
import subprocess
import time

import core


class Disk:
    """The file system on an NBD server's disk, mounted."""

    def __init__(self, bench, uri):
        core.needs("nbdfuse", "losetup", "mkfs.ext4")
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            raise core.Unable("needs root, FUSE and loop devices to put a real file system on the disk")
        self.fuse_dir, self.root = bench.dir / "fuse", bench.dir / "root"
        self.loop, self.fuse = None, None
        for folder in (self.fuse_dir, self.root):
            folder.mkdir(exist_ok=True)
        self.fuse = subprocess.Popen(["nbdfuse", self.fuse_dir / "disk", uri], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not (self.fuse_dir / "disk").exists():
            if time.monotonic() > until:
                raise core.Unable("nbdfuse does not show the disk")
            time.sleep(0.05)
        try:
            self.loop = core.output(["losetup", "--find", "--show", self.fuse_dir / "disk"]).strip()
            core.output(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.loop])
            core.output(["mount", self.loop, self.root])
        except core.Unable:
            self.close()
            raise

    def sync(self):
        core.output(["sync", "-f", self.root])

    def close(self):
        subprocess.run(["umount", self.root], capture_output=True)
        if self.loop:
            subprocess.run(["losetup", "-d", self.loop], capture_output=True)
        if self.fuse:
            for _ in range(50):  # the loop device lets go a moment after losetup -d
                if subprocess.run(["fusermount3", "-u", self.fuse_dir], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            self.fuse.wait(30)


def packages():
    """(name, files) of this host's packages, in the order in which they were installed."""
    names = core.output(["dpkg-query", "-W", "-f", "${db-fsys:Last-Modified} ${Package}:${Architecture}\n"])
    for line in sorted(names.splitlines()):
        name = line.split()[1]
        for lists in (f"/var/lib/dpkg/info/{name}.list", f"/var/lib/dpkg/info/{name.rsplit(':', 1)[0]}.list"):
            if os.path.exists(lists):
                with open(lists) as file:
                    paths = [path for path in file.read().splitlines()
                             if os.path.isfile(path) and not os.path.islink(path)]
                if paths:
                    yield name.replace(":", "_"), paths
                break


def unpack(disk, name, paths):
    archive = disk.root / f"var/cache/apt/archives/{name}.tar.zst"
    listing = "\0".join(path.lstrip("/") for path in paths).encode()
    for command, given in ((["tar", "-C", "/", "--null", "-T", "-", "--zstd", "-cf", archive], listing),
                           (["tar", "-C", disk.root, "--zstd", "-xf", archive], b"")):
        done = subprocess.run(command, input=given, capture_output=True)
        if done.returncode:
            raise core.Unable(f"tar of {name} failed: {done.stderr[-300:].decode(errors='replace').strip()}")
    status = disk.root / "var/lib/dpkg/status"
    with open(status, "ab") as file:
        file.write(f"Package: {name}\nStatus: install ok installed\n{'Description: ' + name * 20}\n\n".encode())


def install(disk, limit_bytes):
    """Install until that much was unpacked, clean the cache, upgrade every sixth package."""
    core.needs("tar", "zstd", "dpkg-query", "fusermount3")
    for folder in ("var/cache/apt/archives", "var/lib/dpkg"):
        (disk.root / folder).mkdir(parents=True)
    done, installed = 0, []
    for name, paths in packages():
        size = sum(os.path.getsize(path) for path in paths)
        if done + size > limit_bytes or size > limit_bytes // 8:
            continue
        unpack(disk, name, paths)
        done += size
        installed.append((name, paths))
        if len(installed) % 10 == 0:
            disk.sync()
    for archive in (disk.root / "var/cache/apt/archives").iterdir():
        archive.unlink()
    disk.sync()
    for name, paths in installed[::6]:
        unpack(disk, name, paths)
    disk.sync()
    return {"packages": len(installed), "unpacked_bytes": done}
