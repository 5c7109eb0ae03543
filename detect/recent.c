#include "detect/recent.h"

#include <stddef.h>

/* splitmix64's finaliser (Steele, Lea, Flood 2014): every bit of the block number reaches set and tag. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Neighbours share a set: a file gone through then costs a cache miss for two blocks, not for each. */
static uint64_t place(uint64_t block)
{
    uint64_t hash = mix(block >> 1);

    return (hash & ~(UINT64_C(1) << 32)) | (block & 1) << 32;
}

static uint32_t age(uint32_t stamp, uint32_t now)
{
    uint32_t units = now + 1 - stamp;

    return stamp && units <= RECENT_REACH ? units + 1 : 0;
}

struct recent_age recent_touch(struct recent *r, uint64_t block, uint32_t now, int writing)
{
    uint64_t hash = place(block);
    struct recent_entry *set = r->entry[hash & (RECENT_SETS - 1)], *e = NULL, *oldest = set;
    uint32_t tag = (uint32_t)(hash >> 32), oldest_age = 0;
    struct recent_age known = {0};

    for (int i = 0; i < RECENT_WAYS; i++) {
        uint32_t since = set[i].touched ? now + 1 - set[i].touched : UINT32_MAX;

        if (set[i].touched && set[i].tag == tag) {
            e = &set[i];
            break;
        }
        if (since > oldest_age)
            oldest_age = since, oldest = &set[i];
    }
    if (e) {
        known.read = age(e->read, now);
        known.written = age(e->written, now);
    } else {
        e = oldest;
        *e = (struct recent_entry){.tag = tag};
    }
    e->touched = now + 1;
    if (writing)
        e->written = now + 1;
    else
        e->read = now + 1;
    return known;
}

struct recent_age recent_look(const struct recent *r, uint64_t block, uint32_t now)
{
    uint64_t hash = place(block);
    const struct recent_entry *set = r->entry[hash & (RECENT_SETS - 1)];

    for (int i = 0; i < RECENT_WAYS; i++)
        if (set[i].touched && set[i].tag == (uint32_t)(hash >> 32))
            return (struct recent_age){age(set[i].read, now), age(set[i].written, now)};
    return (struct recent_age){0};
}
