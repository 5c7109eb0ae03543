/* Runs a fuzz target over files: each argument is an input, or a directory of them.
 *
 * Normal builds link a target with this instead of libFuzzer, so that the committed corpus
 * is a test on every compiler and sanitizer. Every input is also run cut short at several
 * lengths: truncation is the damage real files have. Fails when it was given nothing to run.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly this size, so that AddressSanitizer sees the first byte read beyond it. */
static void run_cut(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    uint8_t *data = NULL;
    size_t size = 0, room = 0, n;
    do {
        if (size == room) {
            room = room ? room * 2 : 65536;
            data = realloc(data, room);
            if (!data) abort();
        }
        n = fread(data + size, 1, room - size, f);
        size += n;
    } while (n > 0);
    fclose(f);
    run_cut(data, size);
    static const int sixteenths[] = {0, 1, 3, 7, 8, 11, 15};
    for (size_t i = 0; i < sizeof sixteenths / sizeof *sixteenths; i++) run_cut(data, size * (size_t)sixteenths[i] / 16);
    if (size > 0) run_cut(data, size - 1);
    free(data);
    return 1;
}

static int run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) return run_file(path);
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort), inputs = 0;
    if (count < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char below[4096];
        snprintf(below, sizeof below, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && inputs >= 0) {
            int r = run_path(below);
            inputs = r < 0 ? -1 : inputs + r;
        }
        free(names[i]);
    }
    free(names);
    return inputs;
}

int main(int argc, char **argv)
{
    int inputs = 0;
    for (int i = 1; i < argc; i++) {
        int r = run_path(argv[i]);
        if (r < 0) return 1;
        inputs += r;
    }
    printf("%d inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
