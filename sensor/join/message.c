#include "sensor/join/message.h"

#include <errno.h>
#include <string.h>

static int check_space(const struct join_message *m, struct chv_err *err)
{
    size_t n = strnlen(m->name, sizeof m->name);
    if (m->bytes != 0 || n == 0 || n > CHV_SPACE_NAME_BYTES || m->op > CHV_REST_ZERO)
        return chv_err_set(err, EPROTO, "joining: a space that cannot be");
    if (m->value == 0 || m->value / CHV_SECTOR_BYTES > CHV_LBA_MAX) return chv_err_set(err, EINVAL, "joining: a space of a size that cannot be");
    if (strncmp(m->name, "disk:", 5) == 0)
        return chv_err_set(err, EPERM, "space '%s': disks are recorded by who serves them, and by nobody beside", m->name);
    return 0;
}

static int check_append(const struct join_message *m, uint32_t block_bytes, struct chv_err *err)
{
    const uint32_t unit = block_bytes / CHV_SECTOR_BYTES;
    if (m->op != CHV_OP_FOUND && m->op != CHV_OP_ZERO && m->op != CHV_OP_TRIM)
        return chv_err_set(err, EPERM, "joining: operation %u is not for who joins", m->op);
    if (m->sectors == 0 || m->sectors % unit || m->lba % unit || m->lba > CHV_LBA_MAX || m->sectors > CHV_LBA_MAX - m->lba)
        return chv_err_set(err, EPROTO, "joining: not whole blocks");
    if (m->bytes != (m->op == CHV_OP_FOUND ? (uint64_t)m->sectors * CHV_SECTOR_BYTES : 0))
        return chv_err_set(err, EPROTO, "joining: content that does not fit its length");
    return 0;
}

int join_message_check(const struct join_message *m, uint32_t block_bytes, struct chv_err *err)
{
    if (m->magic != JOIN_MAGIC || m->bytes > JOIN_PAYLOAD_MAX) return chv_err_set(err, EPROTO, "joining: not a message of this version");
    switch (m->kind) {
    case JOIN_SPACE: return check_space(m, err);
    case JOIN_APPEND: return check_append(m, block_bytes, err);
    case JOIN_HELLO:
    case JOIN_SYNC: return m->bytes == 0 ? 0 : chv_err_set(err, EPROTO, "joining: a payload where there is none");
    default: return chv_err_set(err, EPROTO, "joining: a message of no kind that is known");
    }
}
