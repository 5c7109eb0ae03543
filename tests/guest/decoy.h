/* decoy: the parts of the program that decoy.c describes. */
#ifndef CHV_TESTS_GUEST_DECOY_H
#define CHV_TESTS_GUEST_DECOY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { REFUSED = 3, TOKEN_TEXT = 33, DEPTH_MAX = 8 };
#define MARKER ".decoy"
#define MARKER_COPY "/run/decoy"

/* --- decoy_guard.c --- */
void guard(void); /* ends the program unless this is the throwaway guest */
void die(int code, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
bool slurp(const char *path, char *buf, size_t bytes); /* a small file as text, trailing newline removed */

/* --- decoy.c --- */
uint64_t next(uint64_t *state); /* splitmix64 (Steele, Lea, Flood 2014) */
void write_all(int fd, const void *data, size_t bytes, off_t at, const char *name);

/* A tree that `make` made in this very boot. */
struct tree {
    int fd;
    dev_t device;
    uint64_t key;
};
void tree_open(const char *dir, struct tree *tree); /* refuses anything else */

/* --- decoy_tree.c --- */
/* Make dir, which must not exist, and fill it with kib KiB. With a seed: the kinds of files that a household has, the same
 * for the same seed, and above 64 MiB those of a large one: more folders, mostly small files; without (NULL): documents and
 * pictures only, different every time. */
void tree_make(const char *dir, const char *seed_dir, size_t kib, const uint64_t *seed);

/* --- decoy_attack.c --- */
/* Emulate a pattern on the tree. The details (size of requests, syncs, order) come from the seed. With `mark` the host is
 * told on the console right before the first change of a file, and waited for, and told of progress. Ends after `seconds`
 * (0: when all files are done). */
void attack(const char *dir, const char *pattern, uint64_t seed, bool mark, unsigned seconds);
/* What ./demo shows: in place and renamed, no choices. */
void attack_lock(const char *dir);
void attack_list(void); /* one pattern a line: name, description */

#endif
