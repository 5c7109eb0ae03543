#include "visor/storage/gather.h"

void gather_prp(struct gather *g, const struct storage_port *port, uint64_t prp1, uint64_t prp2, uint64_t bytes, uint64_t page_bytes)
{
    *g = (struct gather){.port = port, .kind = GATHER_PRP, .page_bytes = page_bytes, .rest = bytes, .prp = {prp1, prp2}};
}

void gather_sgl(struct gather *g, const struct storage_port *port, const uint64_t descriptor[2])
{
    *g = (struct gather){.port = port, .kind = GATHER_SGL, .budget = GATHER_SGL_BUDGET, .cached = 1,
                         .cache = {{descriptor[0], descriptor[1]}}};
}

void gather_prd(struct gather *g, const struct storage_port *port, uint64_t table, uint32_t entries)
{
    *g = (struct gather){.port = port, .kind = GATHER_PRD, .list = table, .entries = entries};
}

static bool fault(struct gather *g, enum gather_fault why)
{
    g->fault = why;
    g->left = 0;
    return false;
}

/* May a device be told of this range? */
static bool allowed(struct gather *g, uint64_t gpa, uint64_t n)
{
    if (gpa + n < gpa) return fault(g, GATHER_MALFORMED);
    if (g->port->owned(g->port->arg, gpa, n)) return fault(g, GATHER_OWN);
    return true;
}

/* The next entry of the present list, whose entries have `words` words. The copy is what counts from here on. */
static const uint64_t *entry(struct gather *g, uint32_t words)
{
    if (g->next == g->cached) {
        uint32_t n = g->entries < GATHER_CACHE ? g->entries : GATHER_CACHE;
        uint64_t bytes = (uint64_t)n * words * 8;
        if (!n) return fault(g, GATHER_ENDED), NULL;
        if (!allowed(g, g->list, bytes)) return NULL;
        if (!g->port->copy(g->port->arg, g->cache, g->list, (size_t)bytes)) return fault(g, GATHER_UNSEEN), NULL;
        g->list += bytes;
        g->entries -= n;
        g->cached = n;
        g->next = 0;
    }
    return (const uint64_t *)g->cache + (size_t)g->next++ * words;
}

/* Entries of a PRP list that begins at `at`: to the end of its page, but no more than the transfer can need. */
static void prp_list(struct gather *g, uint64_t at)
{
    uint64_t fit = (g->page_bytes - (at & (g->page_bytes - 1))) / 8;
    uint64_t need = (g->rest + g->page_bytes - 1) / g->page_bytes;
    g->list = at;
    g->entries = (uint32_t)(fit < need ? fit : need);
    g->cached = g->next = 0;
}

/* NVMe 1.4, 4.3. */
static bool prp_next(struct gather *g)
{
    uint64_t in_page = g->page_bytes - 1, at;
    if (!g->rest) return fault(g, GATHER_ENDED);
    if (g->stage == 0) {
        at = g->prp[0];
        if (at & 3) return fault(g, GATHER_MALFORMED);
    } else if (g->stage == 1 && g->rest <= g->page_bytes) {
        at = g->prp[1];
        if (at & in_page) return fault(g, GATHER_MALFORMED);
    } else {
        if (g->stage == 1) {
            if (g->prp[1] & 7) return fault(g, GATHER_MALFORMED);
            prp_list(g, g->prp[1]);
        }
        const uint64_t *e = entry(g, 1);
        if (!e) return false;
        if (g->next == g->cached && !g->entries && g->rest > g->page_bytes) { /* the last of its page: the next list */
            if (*e & in_page) return fault(g, GATHER_MALFORMED);
            prp_list(g, *e);
            if (!(e = entry(g, 1))) return false;
        }
        at = *e;
        if (at & in_page) return fault(g, GATHER_MALFORMED);
    }
    if (g->stage < 2) g->stage++;
    g->gpa = at;
    g->left = g->page_bytes - (at & in_page);
    if (g->left > g->rest) g->left = g->rest;
    g->rest -= g->left;
    return true;
}

/* NVMe 1.4, 4.4. Only descriptors by address; a bit bucket gives a write nothing. */
static bool sgl_next(struct gather *g)
{
    while (g->budget) {
        const uint64_t *d = entry(g, 2);
        if (!d) return false;
        g->budget--;
        uint32_t bytes = (uint32_t)d[1];
        unsigned type = (unsigned)(d[1] >> 60), subtype = (unsigned)(d[1] >> 56) & 15;
        if (subtype != 0) return fault(g, GATHER_MALFORMED);
        switch (type) {
        case 0: /* data block */
            if (!bytes) continue;
            g->gpa = d[0];
            g->left = bytes;
            return true;
        case 1: continue; /* bit bucket */
        case 2:           /* segment */
        case 3:           /* last segment: its descriptors are all data */
            if (g->next != g->cached || g->entries || g->last_segment || !bytes || bytes % 16) return fault(g, GATHER_MALFORMED);
            g->list = d[0];
            g->entries = bytes / 16;
            g->last_segment = type == 3;
            continue;
        default: return fault(g, GATHER_MALFORMED);
        }
    }
    return fault(g, GATHER_MALFORMED);
}

/* AHCI 1.3.1, 4.2.3.3. */
static bool prd_next(struct gather *g)
{
    const uint64_t *e = entry(g, 2);
    if (!e) return false;
    g->gpa = e[0];
    g->left = ((e[1] >> 32) & 0x3fffff) + 1;
    if ((g->gpa | g->left) & 1) return fault(g, GATHER_MALFORMED);
    return true;
}

static bool next(struct gather *g)
{
    bool there = g->kind == GATHER_PRP ? prp_next(g) : g->kind == GATHER_SGL ? sgl_next(g) : prd_next(g);
    return there && allowed(g, g->gpa, g->left);
}

static void advance(struct gather *g, uint64_t n)
{
    g->gpa += n;
    g->left -= n;
}

/* At least a byte of content in the present piece; *n shrinks to what is in it. */
static bool piece(struct gather *g, uint64_t *n)
{
    if (g->fault) return false;
    if (g->skip && !g->stripe_left) {
        for (uint64_t skip = g->skip; skip;) {
            if (!g->left && !next(g)) return false;
            uint64_t part = g->left < skip ? g->left : skip;
            advance(g, part);
            skip -= part;
        }
        g->stripe_left = g->stripe;
    }
    if (!g->left && !next(g)) return false;
    if (*n > g->left) *n = g->left;
    if (g->skip && *n > g->stripe_left) *n = g->stripe_left;
    return true;
}

/* Goes over n bytes: copies them `to` ours, or ours `from` there; both NULL: neither. */
static bool go(struct gather *g, uint8_t *to, const uint8_t *from, uint64_t n)
{
    for (uint64_t done = 0, part; done < n; done += part) {
        part = n - done;
        if (!piece(g, &part)) return false;
        if (to && !g->port->copy(g->port->arg, to + done, g->gpa, (size_t)part)) return fault(g, GATHER_OUTSIDE);
        if (from && !g->port->store(g->port->arg, g->gpa, from + done, (size_t)part)) return fault(g, GATHER_OUTSIDE);
        advance(g, part);
        if (g->skip) g->stripe_left -= (uint32_t)part;
    }
    return true;
}

bool gather_read(struct gather *g, void *dst, size_t n)
{
    return go(g, dst, NULL, n);
}

bool gather_write(struct gather *g, const void *src, size_t n)
{
    return go(g, NULL, src, n);
}

bool gather_walk(struct gather *g, uint64_t n)
{
    return go(g, NULL, NULL, n);
}
