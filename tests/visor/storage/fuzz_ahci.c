/* A guest that does anything to an AHCI controller: port 0 runs, with its command list at 1000h. */
#include "fuzz.h"
#include "visor/storage/ahci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum storage_verdict mediate(void *mediator, uint64_t offset, unsigned width, uint64_t *value)
{
    return ahci_write(mediator, offset, width, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f; /* too large for a stack */
    static struct ahci a;
    memset(&f, 0, sizeof f);
    struct storage_port port = fuzz_port(&f);
    fuzz_set(&f, AHCI_PI, 3);
    for (unsigned i = 0; i < 2; i++) {
        fuzz_set(&f, AHCI_PORT + i * 0x80 + AHCI_CLB, 0x1000 + i * 0x1000);
        fuzz_set(&f, AHCI_PORT + i * 0x80 + AHCI_CMD, AHCI_CMD_ST | AHCI_CMD_FRE);
    }
    ahci_init(&a, &port, 0);
    f.mediator = &a;
    f.write = mediate;
    fuzz_run(&f, data, size);
    ahci_stop(&a);
    return 0;
}
