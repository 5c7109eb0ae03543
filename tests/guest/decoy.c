/* decoy: what happens inside the throwaway guest: makes a tree of decoy files, and emulates how
 * ransomware's writes look from below. It is a load generator, not a weapon:
 *
 *  - it runs only inside the guest of tests/guest (guard(), decoy_guard.c) and refuses anywhere else;
 *  - it touches only a tree that it made itself in the same boot (tree_open() below), and inside it only
 *    plain files with one name, on the same file system, never through a link;
 *  - what it does to a file is an XOR with a keystream made from the token in the tree's marker
 *    file, which stays there in the clear, so the same stream undoes it (a wiped decoy is gone). There is no
 *    cipher, no key exchange, no note, no spreading, nothing that outlives the guest.
 *
 *   decoy make DIR SEEDS [KIB [SEED]]        make DIR and fill it from the text files in SEEDS (decoy_tree.c)
 *   decoy lock DIR                           overwrite every file of DIR in place, rename it to *.locked
 *   decoy attack DIR PATTERN SEED [mark [SECONDS]]   one of the patterns of `decoy patterns` (decoy_attack.c)
 */
#include "decoy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- small tools --------------------------------------------------------------------------- */

uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void write_all(int fd, const void *data, size_t bytes, off_t at, const char *name)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(fd, (const char *)data + done, bytes - done, at + (off_t)done);
        if (n <= 0) die(2, "%s: %s", name, n < 0 ? strerror(errno) : "short write");
        done += (size_t)n;
    }
}

/* --- the tree ------------------------------------------------------------------------------- */

void tree_open(const char *dir, struct tree *tree)
{
    char path[4096], mine[256], copy[256], boot[64], token[TOKEN_TEXT + 1], boot_then[64];
    snprintf(path, sizeof path, "%s/" MARKER, dir);
    if (!slurp(path, mine, sizeof mine) || !slurp(MARKER_COPY, copy, sizeof copy) || strcmp(mine, copy) != 0)
        die(REFUSED, "refuses: %s is not a decoy tree made by this program", dir);
    if (!slurp("/proc/sys/kernel/random/boot_id", boot, sizeof boot) ||
        sscanf(mine, "decoy %32s %63s", token, boot_then) != 2 || strcmp(boot, boot_then) != 0)
        die(REFUSED, "refuses: %s was not made in this boot", dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) die(2, "%s: %s", dir, strerror(errno));
    tree->fd = fd;
    tree->device = st.st_dev;
    tree->key = strtoull(token + 16, NULL, 16);
}

int main(int argc, char **argv)
{
    guard();
    const char *verb = argc > 1 ? argv[1] : "";
    if (argc >= 4 && argc <= 6 && strcmp(verb, "make") == 0) {
        uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
        tree_make(argv[2], argv[3], argc > 4 ? strtoul(argv[4], NULL, 10) : 8192, argc > 5 ? &seed : NULL);
    } else if (argc == 3 && strcmp(verb, "lock") == 0) {
        attack_lock(argv[2]);
    } else if ((argc == 5 || ((argc == 6 || argc == 7) && strcmp(argv[5], "mark") == 0)) && strcmp(verb, "attack") == 0) {
        unsigned seconds = argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 0;
        attack(argv[2], argv[3], strtoull(argv[4], NULL, 10), argc > 5, seconds);
    } else if (argc == 2 && strcmp(verb, "patterns") == 0) {
        attack_list();
    } else {
        die(2, "usage: decoy make DIR SEEDS [KIB [SEED]] | lock DIR | attack DIR PATTERN SEED [mark [SECONDS]] | patterns");
    }
    return 0;
}
