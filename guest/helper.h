/* The parts of the helper. Each is told what to do by the other side of the port and believes nothing it is told. */
#ifndef CHV_GUEST_HELPER_H
#define CHV_GUEST_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "abi/helper.h"
#include "abi/hypercall.h"

/* --- request.c: bytes to requests, without I/O (fuzzed) */
struct request_reader {
    uint8_t bytes[sizeof(struct chv_helper_frame)];
    size_t have;
};
/* Take bytes from *data until a request is whole: true, with *out checked; or until all are used: false. What is no request
 * is passed over byte by byte, so that half a request of an earlier connection does no harm. */
bool request_next(struct request_reader *reader, const uint8_t **data, size_t *bytes, struct chv_helper_frame *out);

/* --- answer.c: frames that gather records until they are full */
struct answer {
    int fd;         /* the port, non-blocking */
    uint32_t id, pid;
    uint8_t kind;   /* of the records in data */
    uint16_t flags; /* of END */
    uint64_t sent;  /* records */
    int error;      /* 0, or why nothing can be sent any more (-errno) */
    /* Not NULL: records go here instead, one by one, without frames. */
    void (*take)(void *arg, uint8_t kind, const void *head, const void *rest, size_t rest_bytes);
    void *arg;
    size_t bytes;
    struct chv_helper_frame header; /* directly before the data, so that both go out in one write */
    uint8_t data[CHV_HELPER_PAYLOAD_MAX];
};
void answer_begin(struct answer *a, int fd, const struct chv_helper_frame *request);
/* A record: `head` and what follows it, padded to 8 bytes; both together at most CHV_HELPER_PAYLOAD_MAX. */
void answer_add(struct answer *a, uint8_t kind, const void *head, size_t head_bytes, const void *rest, size_t rest_bytes);
/* END. `status`: 0 or a positive errno. */
void answer_end(struct answer *a, int status);

/* --- procfs.c: what the kernel says about a process */
struct mapping {
    uint64_t start, end, offset;
    uint32_t flags; /* enum chv_helper_right */
    const char *path;
    size_t path_bytes;
};
/* One line of /proc/PID/maps, terminated by a zero byte instead of its newline. False: it is none. `path` points into it. */
bool mapping_parse(char *line, struct mapping *out);
/* A whole file of /proc, at most `most` bytes, malloc'd and terminated. NULL with errno. */
char *procfs_read(pid_t pid, const char *name, size_t most, size_t *bytes);
/* State letter and parent of a process, from /proc/PID/stat or /proc/PID/task/TID/stat. False: not there. */
bool procfs_stat(const char *path, struct chv_helper_process *out, char *state);
/* All processes into the answer: 0 or a positive errno. */
int procfs_list(struct answer *a);

/* --- translate.c: mappings and their pages into the answer: 0 or a positive errno */
int translate(struct answer *a, pid_t pid);

/* --- hypercall.c: VMMCALL, and what may be said by it */
struct hypercall_key {
    uint64_t low, high;
};
/* 32 hexadecimal digits in a file that nobody but its owner reads. False, after a line on stderr. */
bool hypercall_key(const char *path, struct hypercall_key *key);
/* A request with its runs directly behind it. An enum chv_hypercall_status, with *number; -1: there is no hypervisor that knows the key. */
int hypercall(const struct hypercall_key *key, const struct chv_hypercall *request, uint64_t *number);
/* Record pages; again and again, until all are taken. *refused counts those that are none of the guest's RAM. An enum chv_hypercall_status:
 * OK, or why it ended; -1 as above. */
int hypercall_record(const struct hypercall_key *key, const char *space, const struct chv_hypercall_run *runs, size_t count, uint64_t *refused);
/* BEGIN, or SETTLED of what there is now (space NULL), until the answer is another than AGAIN; half a minute at most. */
int hypercall_until(const struct hypercall_key *key, uint32_t kind, const char *space, uint64_t bytes);

/* --- record.c: a process's pages by hypercall: spaces proc:PID and map:PID. The exit status, after lines on stdout and stderr. */
int record(pid_t pid, const char *key_path, bool freeze);
/* What the pages are, as docs/format.md has it. */
struct record_list;
void record_text(FILE *out, const struct record_list *list);
/* Any bytes as the inside of a JSON string. */
void record_json(FILE *out, const char *text, size_t bytes);

/* --- hold.c: one process at a time is held */
struct hold {
    pid_t pid;       /* 0: none */
    bool ours;       /* it ran before, so it will run again */
    uint64_t until_ns;
    pid_t watch; /* a child that lets it go on if we die; 0: none */
    int sock;    /* to it */
};
/* Stop it and wait until all its threads stand still (at most a second); true if they do. */
bool hold_take(struct hold *h, pid_t pid);
void hold_release(struct hold *h);
/* Release what was held for too long. */
void hold_expire(struct hold *h);

#endif
