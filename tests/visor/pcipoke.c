/* PCI configuration space by its ports, as root in the guest: pcipoke DEVICE REGISTER [VALUE], numbers in C's notation;
 * DEVICE is device << 3 | function on bus 0. Prints the register, before it is written. With REGISTER "ecam:ADDRESS",
 * prints what the mapped configuration space at ADDRESS says of the device, after a write to it; with "mem:ADDRESS", 32 bits of memory;
 * with "port:NUMBER", writes VALUE to this port, in DEVICE bytes. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    if (argc < 3 || iopl(3)) return 2;
    uint32_t device = (uint32_t)strtoul(argv[1], NULL, 0);
    if (!strncmp(argv[2], "ecam:", 5)) {
        int fd = open("/dev/mem", O_RDWR | O_SYNC);
        volatile uint32_t *p =
            mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, strtol(argv[2] + 5, NULL, 0) + (device << 12));
        if (p == MAP_FAILED) return 2;
        p[4] = 0x12345678;
        printf("%08x %08x\n", p[0], p[4]);
        return 0;
    }
    if (!strncmp(argv[2], "mem:", 4)) {
        int fd = open("/dev/mem", O_RDWR | O_SYNC);
        long at = strtol(argv[2] + 4, NULL, 0);
        volatile uint8_t *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, at & ~4095l);
        if (p == MAP_FAILED) return 2;
        printf("%08x\n", *(volatile uint32_t *)(p + (at & 4095)));
        return 0;
    }
    if (!strncmp(argv[2], "port:", 5) && argc > 3) {
        uint16_t port = (uint16_t)strtoul(argv[2] + 5, NULL, 0);
        uint32_t value = (uint32_t)strtoul(argv[3], NULL, 0);
        if (device == 1)
            outb((uint8_t)value, port);
        else
            outl(value, port);
        return 0;
    }
    uint32_t reg = (uint32_t)strtoul(argv[2], NULL, 0);
    outl(0x80000000 | device << 8 | reg, 0xcf8);
    printf("%08x %04x %02x\n", inl(0xcfc), inw(0xcfe), inb(0xcfd));
    if (argc > 3) outl((uint32_t)strtoul(argv[3], NULL, 0), 0xcfc);
    return 0;
}
