/* What a helper inside the guest answers (abi/helper.h, docs/helper.md), from bytes to lists. No I/O here, so that it can be fuzzed.
 *
 * The helper runs where the attacker may be root, so an answer is a claim: numbers are bounded, order is checked, and a frame
 * that is no RAM is refused and counted. What cannot be checked here, that a frame is really the process's, is said in docs/helper.md.
 */
#ifndef CHV_SENSOR_MEMORY_HELPER_MESSAGE_H
#define CHV_SENSOR_MEMORY_HELPER_MESSAGE_H

#include "abi/helper.h"
#include "sensor/memory/linux.h"
#include "sensor/memory/pages.h"

#define HELPER_ABSENT_MAX (1u << 20)        /* runs */
#define HELPER_SKIP_MAX (UINT64_C(64) << 20) /* bytes of an answer to somebody before us */

/* Frames out of a stream. Until the first with our number is found, whatever comes is passed over. */
struct helper_reader {
    uint32_t first_id;  /* ours are this and those after it */
    bool found;
    uint64_t skipped;   /* bytes */
    size_t begin, end;  /* not yet consumed */
    uint8_t data[2 * (sizeof(struct chv_helper_frame) + CHV_HELPER_PAYLOAD_MAX)];
};
/* Where the next bytes of the stream go, at least 1 after helper_reader_next returned 0. */
uint8_t *helper_reader_room(struct helper_reader *reader, size_t *bytes);
void helper_reader_filled(struct helper_reader *reader, size_t bytes);
/* 1 with a frame and its payload (valid until the next call of any of these), 0 when more bytes are needed, -EPROTO with what is
 * wrong. */
int helper_reader_next(struct helper_reader *reader, struct chv_helper_frame *frame, const uint8_t **payload, struct chv_err *err);

struct helper_pages {
    struct linux_vma *vmas;   /* linux_vmas_free */
    size_t vma_count;
    struct pages pages;       /* in RAM; flags: WALK_USER, WALK_WRITE and WALK_EXEC as the mapping has them, WALK_DIRTY if soft-dirty */
    struct page_absent {      /* mapped, but in no page of RAM; pages that were never touched are in no run */
        uint64_t va, bytes;
        bool unseen;          /* not looked at; else swapped out */
    } *absent;
    size_t absent_count, absent_room;
    uint64_t swapped_pages, unseen_pages;
    uint64_t refused_pages;   /* claimed to be where no RAM is */
    bool held, torn;          /* as the helper says; torn also when the answer was too long for us */
};

struct helper_answer {
    /* what was asked */
    uint8_t asked;            /* enum chv_helper_kind */
    uint32_t id, pid;
    struct physmem *mem;      /* PAGES: where frames must be; borrowed */
    /* what is known by now */
    struct linux_task *tasks; /* LIST: pid, ppid, uid, name, and mm 0 or 1; free() */
    size_t task_count, task_room;
    size_t vma_room, run_room;
    struct helper_pages pages;
    uint64_t records, last_va; /* the end of the last run */
    int status;               /* END's: 0 or an errno of the guest's */
    bool ended;
};

/* One frame of the answer. EPROTO: it makes no sense; ENOMEM. After an error, and in the end, helper_answer_fini. */
int helper_answer_add(struct helper_answer *answer, const struct chv_helper_frame *frame, const uint8_t *payload, struct chv_err *err);
void helper_answer_fini(struct helper_answer *answer);
void helper_pages_fini(struct helper_pages *pages);

#endif
