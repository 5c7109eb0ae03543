/* Type information made by hand (tests/corpus/btf/good), and this machine's own kernel's where it can be read. */
#include <errno.h>

#include "base/io.h"
#include "sensor/memory/linux_impl.h"
#include "tests/unit.h"

static struct btf *load(const char *path)
{
    char *data;
    size_t bytes;
    struct btf *b;
    struct chv_err err;
    CHECK(io_read_file(path, BTF_BYTES_MAX, &data, &bytes) == 0);
    CHECK(btf_length(data) == bytes);
    CHECK(btf_parse(data, bytes - 1, &b, &err) == -EBADMSG);
    CHECK_OK(btf_parse(data, bytes, &b, &err), err);
    free(data);
    return b;
}

static void by_hand(const char *path)
{
    struct btf *b = load(path);
    struct btf_field f;
    CHECK(btf_types(b) == 10 && btf_size(b, "thing") == 64 && btf_size(b, "list_head") == 16 && btf_size(b, "nothing") == 0);
    CHECK(btf_field(b, "thing", "pid", &f) == 0 && f.offset == 4 && f.bytes == 4 && f.count == 1);
    CHECK(btf_field(b, "thing", "list", &f) == 0 && f.offset == 8 && f.bytes == 16);
    CHECK(btf_field(b, "thing", "list.prev", &f) == 0 && f.offset == 16 && f.bytes == 8);
    CHECK(btf_field(b, "thing", "one", &f) == 0 && f.offset == 24 && f.bytes == 8);
    CHECK(btf_field(b, "thing", "two", &f) == 0 && f.offset == 24 && f.bytes == 4);
    CHECK(btf_field(b, "thing", "arr", &f) == 0 && f.offset == 32 && f.bytes == 16 && f.count == 4);
    CHECK(btf_field(b, "thing", "bits", &f) == -ENOENT); /* a bit field has no address */
    CHECK(btf_field(b, "thing", "pid.x", &f) == -ENOENT && btf_field(b, "thing", "", &f) == -ENOENT);
    CHECK(btf_field(b, "thing", "list.", &f) == -ENOENT && btf_field(b, "int", "pid", &f) == -ENOENT);
    btf_free(b);
}

static void this_kernel(void)
{
    struct linux_offsets at;
    struct chv_err err;
    if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
        printf("no type information of this machine's kernel: not tried\n");
        return;
    }
    struct btf *b = load("/sys/kernel/btf/vmlinux");
    CHECK_OK(linux_offsets_fill(b, &at, &err), err);
    CHECK(at.task_comm > at.task_pid && at.vma_start == 0 && at.vma_end == 8);
    btf_free(b);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    by_hand(argv[1]);
    this_kernel();
    return 0;
}
