/* IDENTIFY DEVICE data: ACS-4, 7.13. */
#include "visor/storage/ahci.h"

static uint64_t words(const uint8_t *data, unsigned word, unsigned n)
{
    uint64_t v = 0;
    while (n) n--, v = v << 16 | (uint64_t)data[(word + n) * 2 + 1] << 8 | data[(word + n) * 2];
    return v;
}

void ahci_identify(struct ahci *a, unsigned index, const uint8_t *data)
{
    struct ahci_port *p = &a->port[index];
    uint8_t sum = 0;
    for (unsigned i = 0; i < 512; i++) sum = (uint8_t)(sum + data[i]);
    if (words(data, 255, 1) % 256 == 0xa5 && sum) return; /* word 255: the device did not say this */

    uint64_t lba48 = words(data, 100, 4), lba28 = words(data, 60, 2), sector = words(data, 106, 1), bytes = 512;
    uint64_t blocks = words(data, 83, 1) & 1u << 10 ? lba48 : lba28;
    if ((sector & 0xc000) == 0x4000 && sector & 0x1000) bytes = words(data, 117, 2) * 2;
    if (bytes < 512 || bytes > 65536 || bytes & (bytes - 1) || !blocks || blocks > CHV_LBA_MAX / (bytes / 512)) return;
    uint64_t sectors = blocks * (bytes / 512);

    /* As with NVMe: the first that was seen, while the machine booted, is believed, and no other later. */
    char serial[20];
    for (unsigned i = 0; i < 20; i++) serial[i] = (char)data[20 + (i ^ 1)];
    if (p->identified) {
        if (p->lba_bytes != bytes || __builtin_memcmp(p->serial, serial, sizeof serial) != 0) {
            p->lba_bytes = 0;
            blocks_gap(&a->storage, index + 1, 0, 0, CHV_GAP_UNKNOWN);
            return;
        }
        if (p->sectors == sectors) return;
    }
    p->identified = true;
    p->lba_bytes = (uint32_t)bytes;
    p->sectors = sectors;
    /* Word 169: TRIM; word 69: and after it reads are determined, and zeros. */
    p->trim_zeroes = words(data, 169, 1) & 1 && (words(data, 69, 1) & 0x4020) == 0x4020;
    __builtin_memcpy(p->serial, serial, sizeof serial);
    blocks_space(&a->storage, index + 1, sectors, serial, sizeof serial, 0, false);
}
