/* Every list format, and what is wrong with a wrong line. */
#include "search/hash_list.h"

#include "tests/unit.h"

#define SHA "a55236a0519a96f9ecc947b1f9a68ecbc194b5f0c34b53db1a8da61102de969c"
#define MD5 "2d9059996b371e688988a8a43846badd"

static struct hash_entry entries[16];
static char names[16][128];

/* Parse all of it; the number of entries, or -1 with the error in *err. */
static int parse(const char *text, size_t bytes, struct chv_err *err)
{
    FILE *in = fmemopen((void *)text, bytes, "r");
    CHECK(in);
    struct hash_list *list = hash_list_new(in, "list", 4096);
    CHECK(list);
    int n = 0, r;
    while ((r = hash_list_next(list, &entries[n], err)) == 1) {
        snprintf(names[n], sizeof names[n], "%s", entries[n].name);
        CHECK(++n < 16);
    }
    hash_list_free(list);
    fclose(in);
    return r < 0 ? -1 : n;
}

static int good(const char *text)
{
    struct chv_err err;
    int n = parse(text, strlen(text), &err);
    if (n < 0) fprintf(stderr, "%s\n", err.text);
    CHECK(n >= 0);
    return n;
}

static void bad(const char *text, const char *want)
{
    struct chv_err err = {0};
    CHECK(parse(text, strlen(text), &err) == -1);
    if (!strstr(err.text, want)) fprintf(stderr, "'%s' does not say '%s'\n", err.text, want);
    CHECK(strstr(err.text, want) && !strchr(err.text, '\n'));
}

int main(void)
{
    CHECK(good(SHA "\n") == 1 && entries[0].has_sha256 && !entries[0].has_md5 && entries[0].sha256[0] == 0xa5);
    CHECK(good("# comment\n\n" SHA "  /tmp/f offset 4096-8191\r\n" MD5 " *name with spaces") == 2);
    CHECK(entries[0].has_offset && entries[0].offset == 4096 && !entries[0].too_short && entries[0].line == 3);
    CHECK(strcmp(names[0], "/tmp/f") == 0 && strcmp(names[1], "name with spaces") == 0 && entries[1].has_md5);
    CHECK(!entries[1].has_offset);
    CHECK(good(MD5 "  f offset 8192-9999\n") == 1 && entries[0].too_short);
    CHECK(good(MD5 "  set offset by hand-made\n") == 1 && !entries[0].has_offset);

    CHECK(good("%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked from: /\n4096," MD5 "," SHA
               ",/a,b offset 0-4095\n100," MD5 "," SHA ",c\n") == 2);
    CHECK(entries[0].has_md5 && entries[0].has_sha256 && strcmp(names[0], "/a,b") == 0 && entries[0].offset == 0);
    CHECK(entries[1].too_short);

    CHECK(good(MD5 "\t" SHA "\t3\n") == 1 && entries[0].has_sha256 && entries[0].offset == 8192);
    CHECK(strcmp(names[0], MD5) == 0);

    CHECK(good("{\"file_hash\":\"" MD5 "\",\"name_pairs\":[\"r\",\"f\"]}\n{\"block_hash\":\"" MD5
               "\",\"k_entropy\":0,\"block_label\":\"W\",\"source_sub_counts\":[\"ab12\",1]}\n") == 1);
    CHECK(entries[0].has_md5 && strcmp(names[0], "ab12") == 0);
    CHECK(good("") == 0);

    bad("zzz\n", "list:1: ");
    bad(SHA "\n" SHA "0\n", "list:2: ");
    bad("da39a3ee5e6b4b0d3255bfef95601890afd80709  f\n", "SHA-1");
    bad(SHA "x\n", "hexadecimal");
    bad(SHA "  f offset 9-3\n", "backwards");
    bad(MD5 "  f offset 0-8191\n", "-p 4096");
    bad(MD5 "\t" SHA "\t0\n", "block number");
    bad(MD5 "\t" SHA "\tx\n", "block number");
    bad("%%%% HASHDEEP-9.0\n", "HASHDEEP-1.0");
    bad("%%%% HASHDEEP-1.0\n4096," SHA ",f\n", "column names");
    bad("%%%% HASHDEEP-1.0\n%%%% size,tiger,filename\n", "no md5 or sha256");
    bad("%%%% HASHDEEP-1.0\n%%%% md5,filename\n", "begin with size");
    bad("%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n4096," MD5 "\n", "fewer columns");
    bad("%%%% HASHDEEP-1.0\n%%%% size,md5,filename\nx," MD5 ",f\n", "no size");
    bad("%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n10000," MD5 ",f\n", "-p 4096");
    bad("%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n4096," SHA ",f\n", "no MD5");
    bad("{\"block_hash\":12}\n", "hashdb");
    bad("{\"block_hash\":\"xy\"}\n", "hexadecimal");
    bad("{broken\n", "not JSON");
    struct chv_err err;
    CHECK(parse("ab\0cd\n", 6, &err) == -1 && strstr(err.text, "NUL"));
    size_t huge = 3u << 20;
    char *line = malloc(huge);
    memset(line, 'a', huge);
    CHECK(parse(line, huge, &err) == -1 && strstr(err.text, "more than"));
    free(line);
    return 0;
}
