/* A guest that does anything to an NVMe controller: admin queues of 16 entries are at 1000h and 2000h. */
#include "fuzz.h"
#include "visor/storage/nvme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum storage_verdict mediate(void *mediator, uint64_t offset, unsigned width, uint64_t *value)
{
    uint64_t read = *value;
    nvme_read(mediator, offset, width, &read);
    return nvme_write(mediator, offset, width, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f; /* too large for a stack */
    static struct nvme n;
    memset(&f, 0, sizeof f);
    struct storage_port port = fuzz_port(&f);
    fuzz_set(&f, NVME_AQA, 15 << 16 | 15);
    fuzz_set(&f, NVME_ASQ, 0x1000);
    fuzz_set(&f, NVME_ACQ, 0x2000);
    nvme_init(&n, &port, 0);
    f.mediator = &n;
    f.write = mediate;
    uint64_t enable = 6u << 16 | 4u << 20 | 1;
    nvme_write(&n, NVME_CC, 4, &enable);
    fuzz_set(&f, NVME_CC, (uint32_t)enable);
    fuzz_run(&f, data, size);
    nvme_stop(&n);
    return 0;
}
