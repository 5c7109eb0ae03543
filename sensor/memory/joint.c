#include "sensor/memory/joint.h"

#include <errno.h>

static int join(struct import_target *t, struct sink *sink, struct chv_err *err)
{
    const struct import_options *o = t->options;
    struct chv_err busy = *err;
    uint64_t seq;
    int r = join_connect(o->store_dir, &sink->join, err);
    if (r == -ENOENT) { /* a recorder of another kind: an import, another capture */
        *err = busy;
        return -busy.code;
    }
    if (r < 0) return r;
    import_target_close(t, NULL, NULL); /* what it held as of before is looked at again */
    r = join_sync(sink->join, &seq, err); /* with what was added last, perhaps by one that was killed */
    if (r == 0) r = import_target_look(t, o, err);
    if (r == 0 && join_block_bytes(sink->join) != t->block_bytes)
        r = chv_err_set(err, EPROTO, "%s: its recorder has blocks of another size", o->store_dir);
    return r;
}

int joint_begin(struct import_target *t, struct sink *sink, uint64_t start_ns, struct chv_err *err)
{
    struct chv_err ignored;
    if (!err) err = &ignored;
    *sink = (struct sink){0};
    int r = import_target_begin(t, start_ns, err);
    sink->rec = t->rec;
    return r == -EBUSY && t->store && !t->rec ? join(t, sink, err) : r;
}

int joint_end(struct import_target *t, struct sink *sink, struct import_result *result, struct chv_err *err)
{
    if (!sink->join) return import_target_close(t, result, err);
    *result = (struct import_result){0};
    int r = join_sync(sink->join, &result->last_seq, err);
    result->events = join_events(sink->join);
    joint_close(t, sink);
    return r;
}

void joint_close(struct import_target *t, struct sink *sink)
{
    join_close(sink->join);
    *sink = (struct sink){0};
    import_target_close(t, NULL, NULL);
}
