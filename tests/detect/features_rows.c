/* features_rows SET [encrypted] < ACCESSES: a line an access (time_ns lba sectors kind flags entropy old_entropy) in, a line a row out:
 * end_ns read_bytes write_bytes active, then the features as hexadecimal floats. `encrypted`: of what an
 * encrypted disk would show. `SET names`: the features' names. `SET gate [encrypted]`: of each row its end and whether the disk is
 * taken for encrypted. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "detect/cipher.h"
#include "detect/features.h"

static void print_row(void *arg, const struct feature_row *row)
{
    enum feature_set set = *(enum feature_set *)arg;

    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %d", row->end_ns, row->read_bytes, row->write_bytes, row->active);
    for (size_t i = 0; i < features_count(set); i++)
        printf(" %a", row->x[i]);
    putchar('\n');
}

static void print_gate(void *arg, const struct feature_row *row)
{
    printf("%" PRIu64 " %d\n", row->end_ns, row->encrypted);
}

int main(int argc, char **argv)
{
    int found = argc > 1 ? feature_set_find(argv[1]) : -1;
    enum feature_set set = (enum feature_set)found;
    struct features *f;
    struct access a;
    unsigned kind, flags, entropy, old;
    bool gate = argc > 2 && strcmp(argv[2], "gate") == 0, view = argc > 2 && strcmp(argv[argc - 1], "encrypted") == 0;
    feature_row_fn *print = gate ? print_gate : print_row;

    if (found < 0)
        return 2;
    if (argc > 2 && strcmp(argv[2], "names") == 0) {
        for (size_t i = 0; i < features_count(set); i++)
            printf("%s %d\n", features_name(set, i), features_monotone(set, i));
        return 0;
    }
    f = features_new(set);
    if (!f)
        return 2;
    while (scanf("%" SCNu64 " %" SCNu64 " %" SCNu32 " %u %u %u %u", &a.time_ns, &a.lba, &a.sectors, &kind, &flags, &entropy,
                 &old) == 7) {
        a.kind = (uint8_t)kind, a.flags = (uint8_t)flags;
        a.entropy = (uint16_t)entropy, a.old_entropy = (uint16_t)old;
        if (!view || cipher_view(&a))
            features_push(f, &a, print, &set);
    }
    features_finish(f, print, &set);
    features_free(f);
    return 0;
}
