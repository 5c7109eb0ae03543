/* What an encrypted disk shows is known as that, whatever part of a block was written; a file system's own blocks are not. And the
 * gate: soon on, held for long against what ransomware writes to a disk that is not encrypted, soon off. */
#include "detect/cipher.h"
#include "store/digest.h"
#include "tests/unit.h"

enum { SECTOR = 512, BLOCK = 4096 };

static uint64_t random_state = 5;

static void fill(uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)(unit_random(&random_state) >> 24);
}

static void ciphertext(void)
{
    uint8_t block[BLOCK];
    for (unsigned draw = 0; draw < 300; draw++)
        for (uint32_t sectors = 1; sectors <= 8; sectors++) {
            memset(block, 0, sizeof block);
            fill(block + (draw % (9 - sectors)) * SECTOR, sectors * SECTOR);
            CHECK(cipher_like(digest_entropy(block, BLOCK), 8));       /* in a block of which nothing else was written */
            CHECK(cipher_like(digest_entropy(block, BLOCK), sectors)); /* which a log tells of the sectors that were written */
            fill(block, sectors * SECTOR);
            CHECK(cipher_like(digest_entropy(block, sectors * SECTOR), sectors)); /* alone */
        }
}

static void plain(void)
{
    uint8_t block[BLOCK];
    memset(block, 0, sizeof block);
    CHECK(!cipher_like(digest_entropy(block, BLOCK), 8));
    memset(block, 'x', 100);
    CHECK(!cipher_like(digest_entropy(block, BLOCK), 8));
    fill(block, BLOCK);
    for (size_t i = 0; i < BLOCK; i++) block[i] = (uint8_t)"0123456789abcdef"[block[i] % 16];
    CHECK(!cipher_like(digest_entropy(block, BLOCK), 8));
    fill(block, BLOCK);
    for (size_t i = 0; i < BLOCK; i++) block[i] = (uint8_t)(block[i] % 64 + 32); /* base64 */
    CHECK(!cipher_like(digest_entropy(block, BLOCK), 8));
}

static void push(struct cipher_gate *g, unsigned count, uint8_t kind, uint16_t entropy)
{
    struct access a = {.sectors = 8, .kind = kind, .flags = kind == ACCESS_WRITE ? ACCESS_ENTROPY : ACCESS_OLD_ENTROPY};
    for (unsigned i = 0; i < count; i++) {
        a.entropy = kind == ACCESS_WRITE ? entropy : 0;
        a.old_entropy = kind == ACCESS_WRITE ? 0 : entropy;
        cipher_gate_push(g, &a);
    }
}

static void gate(void)
{
    struct cipher_gate g = {0};
    push(&g, CIPHER_LEAST - 1, ACCESS_WRITE, 65160);
    CHECK(!g.encrypted);
    push(&g, 1000, ACCESS_READ, 0); /* zeros: never written, they say nothing */
    CHECK(!g.encrypted);
    push(&g, 1, ACCESS_READ, 65160);
    CHECK(g.encrypted);
    push(&g, 100000, ACCESS_WRITE, 65160);
    push(&g, CIPHER_MEMORY / CIPHER_OFF / 2, ACCESS_WRITE, 20000); /* a header, written anew */
    CHECK(g.encrypted && g.pieces < CIPHER_MEMORY);
    push(&g, 129, ACCESS_WRITE, 20000);
    CHECK(!g.encrypted);

    /* a disk that is not encrypted: full of what its file system wrote; 48 MiB in a row without a plain block change nothing */
    g = (struct cipher_gate){0};
    for (unsigned i = 0; i < 1000; i++) push(&g, 3, ACCESS_WRITE, 20000), push(&g, 7, ACCESS_READ, 40000);
    push(&g, 12000, ACCESS_WRITE, 65160);
    CHECK(!g.encrypted);
    /* nor does any amount with one plain block in a hundred */
    for (unsigned i = 0; i < 10000; i++) {
        push(&g, 99, ACCESS_WRITE, 65160);
        push(&g, 1, ACCESS_WRITE, 20000);
        CHECK(!g.encrypted);
    }
    struct access discard = {.sectors = 8, .kind = ACCESS_DISCARD, .flags = ACCESS_OLD_ENTROPY, .old_entropy = 20000};
    struct cipher_gate before = g;
    cipher_gate_push(&g, &discard);
    CHECK(g.pieces == before.pieces && g.plain == before.plain);
}

static void view(void)
{
    struct access a = {.kind = ACCESS_WRITE, .flags = ACCESS_ENTROPY | ACCESS_OLD_ENTROPY | ACCESS_DEDUP, .sectors = 8, .entropy = 7, .old_entropy = 7};
    CHECK(cipher_view(&a) && a.flags == (ACCESS_ENTROPY | ACCESS_DEDUP | ACCESS_NOVEL) && cipher_like(a.entropy, 8));
    a = (struct access){.kind = ACCESS_READ, .flags = ACCESS_OLD_ENTROPY, .sectors = 8, .old_entropy = 30000};
    CHECK(cipher_view(&a) && a.flags == ACCESS_OLD_ENTROPY && cipher_like(a.old_entropy, 8));
    a = (struct access){.kind = ACCESS_WRITE, .sectors = 8}; /* nothing known of it */
    CHECK(cipher_view(&a) && a.flags == 0);
    a.kind = ACCESS_DISCARD;
    CHECK(!cipher_view(&a));
}

int main(void)
{
    ciphertext();
    plain();
    gate();
    view();
    return 0;
}
