/* BTF, the type information a Linux kernel carries about itself (Documentation/bpf/btf.rst): offsets of fields without symbol
 * files. What is parsed was found in guest memory and may be anything: everything is checked before it is used. */
#ifndef CHV_SENSOR_MEMORY_BTF_H
#define CHV_SENSOR_MEMORY_BTF_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

#define BTF_HEADER_BYTES 24u
#define BTF_BYTES_MAX (64u << 20)

struct btf;

/* How long the whole is, judged by the first BTF_HEADER_BYTES of it; 0: this is no BTF. */
size_t btf_length(const void *header);
/* Check all of it and copy it. EBADMSG with what is wrong, ENOMEM. */
int btf_parse(const void *data, size_t bytes, struct btf **out, struct chv_err *err);
void btf_free(struct btf *btf);
uint32_t btf_types(const struct btf *btf);

struct btf_field {
    uint32_t offset; /* bytes from the beginning of the struct */
    uint32_t bytes;  /* of the whole field */
    uint32_t count;  /* elements of an array, else 1 */
};

/* "a.b" of a struct or union: anonymous members are looked into. ENOENT: no such struct or field, or it is a bit field. */
int btf_field(const struct btf *btf, const char *type, const char *path, struct btf_field *out);
/* Its size in bytes; 0: there is no such struct or union. */
uint32_t btf_size(const struct btf *btf, const char *type);

#endif
