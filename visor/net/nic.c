#include "visor/net/nic.h"

#define COMMAND 4u
#define COMMAND_MEMORY_AND_MASTER 6u
#define COMMAND_NO_INTX (1u << 10)

void nic_begin(struct nic *nic, const struct nic_bus *bus, void *memory)
{
    __builtin_memset(nic, 0, sizeof *nic);
    nic->bus = *bus;
    nic->rings = memory;
    nic->send_buffers = nic->rings + NIC_RINGS_BYTES;
    nic->receive_buffers = nic->send_buffers + NIC_SENDS * NIC_BUFFER_BYTES;
    uint32_t command = bus->config_read(bus->arg, COMMAND) & 0xffff; /* the status bits above are cleared by writing ones */
    bus->config_write(bus->arg, COMMAND, command | COMMAND_MEMORY_AND_MASTER | COMMAND_NO_INTX);
}

uint8_t *nic_send_buffer(struct nic *nic, uint32_t number)
{
    return nic->send_buffers + number % nic->sends * NIC_BUFFER_BYTES;
}

uint8_t *nic_receive_buffer(struct nic *nic, uint32_t number)
{
    return nic->receive_buffers + number % nic->receives * NIC_BUFFER_BYTES;
}

size_t nic_take(struct nic *nic, const uint8_t *from, size_t bytes, void *frame, size_t room)
{
    if (bytes == 0 || bytes > NIC_BUFFER_BYTES) { /* what the device says is not believed */
        nic->dropped++;
        return 0;
    }
    if (bytes > room) bytes = room;
    __builtin_memcpy(frame, from, bytes);
    return bytes;
}

bool nic_init(struct nic *nic, const struct nic_bus *bus, void *memory)
{
    return e1000_init(nic, bus, memory) || virtio_net_init(nic, bus, memory);
}
