/* Errors a person may see: filled where the fault is found, printed once by the caller. */
#ifndef CHRONOVISOR_ERR_H
#define CHRONOVISOR_ERR_H

struct chv_err {
    int code;       /* positive errno */
    char text[480]; /* one line: what was wrong, where, what to do */
};

/* Fill `err` (may be NULL) and return -code, so that a caller can `return chv_err_set(...)`. */
int chv_err_set(struct chv_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "prefix: " before the text already in `err`; returns -err->code. */
int chv_err_prefix(struct chv_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
