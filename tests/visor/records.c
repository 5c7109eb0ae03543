/* What the mediators tell, through the sender, the wire and a receiver: everything that changed a disk arrives, or a gap does. */
#include "tests/net/network.h"
#include "tests/visor/fake.h"
#include "visor/core/records.h"

enum { SECTORS = 803 }; /* the last block is one in part */

static struct network net;
static struct {
    unsigned writes, gaps, placeless, others, reads, waits;
    uint64_t told, gap_lba, gap_sectors;
} heard;

static void check(struct network *n, const struct chv_wire_record *r, const void *content)
{
    const struct chv_device *d = &n->receiver.devices[r->device];
    struct chv_gap_detail detail;
    if (r->op == CHV_OP_WRITE) heard.writes++;
    if (r->op == CHV_OP_READ) heard.reads++;
    if (r->op != CHV_OP_GAP) return;
    memcpy(&detail, content, sizeof detail);
    heard.gaps++;
    heard.told += detail.events;
    heard.placeless += r->sectors == 0;
    heard.others += !strcmp(d->name, RECORDS_OTHERS);
    heard.gap_lba = chv_wire_lba(r);
    heard.gap_sectors = r->sectors;
}

static bool poll(void)
{
    heard.waits++;
    network_tick(&net);
    return true;
}

static void begin(uint64_t seed)
{
    memset(&heard, 0, sizeof heard);
    network_init(&net, seed, 64 * 1408, 0, false);
    net.check = check;
    net.loss = 10, net.doubled = 10, net.reordered = 20;
    records_init(&net.sender, poll);
    fake_console_clear();
}

/* Everything has arrived, and the rest is let go. */
static void end(void)
{
    for (int i = 0; i < 60000 && !sender_settled(&net.sender); i++) network_tick(&net);
    CHECK(sender_settled(&net.sender));
    CHECK(net.receiver.counters.bad_records == 0 && net.got == net.sender.stats.records);
    network_fini(&net);
}

static void tell(uint16_t device, uint32_t unit, uint8_t op, uint64_t lba, uint64_t sectors)
{
    static const uint8_t content[VISOR_BLOCK_BYTES];
    struct visor_block b = {.lba = lba, .sectors = sectors, .data = op == CHV_OP_GAP ? NULL : content, .unit = unit, .device = device, .op = op,
                            .reason = op == CHV_OP_GAP ? CHV_GAP_FAILED : 0};
    records_take(&b);
}

static uint8_t shared; /* what is announced */

static void announce(uint16_t device, uint32_t unit, const char *name, uint64_t sectors)
{
    uint8_t text[CHV_SPACE_NAME_BYTES] = {0};
    struct visor_block b = {.lba = sectors, .data = text, .unit = unit, .device = device, .op = CHV_OP_SPACE, .place = (uint16_t)(device << 3), .reason = shared};
    memcpy(text, name, strlen(name));
    records_take(&b);
}

static void usual(uint64_t seed)
{
    begin(seed);
    announce(0, 1, "disk:a", SECTORS);
    announce(1, 1, "disk:b", UINT64_C(3) << 32);
    for (unsigned i = 0; i < 100; i++) tell(0, 1, CHV_OP_WRITE, i * 8, 8); /* more than the ring holds */
    tell(0, 1, CHV_OP_WRITE, 800, 3);
    tell(0, 1, CHV_OP_READ, 0, SECTORS);
    tell(0, VISOR_UNIT_ALL, CHV_OP_FLUSH, 0, 0);
    tell(0, 1, CHV_OP_GAP, 800, 8); /* widened to the block, which ends behind the disk */
    tell(1, 1, CHV_OP_GAP, 0, 0);   /* all of it: four records */
    end();
    CHECK(heard.writes == 101 && heard.reads == 1 && heard.gaps == 5 && heard.placeless == 0 && heard.waits > 0);
    CHECK(records_lost() == 0 && !fake_console[0]);
}

/* Nobody said what these disks are. */
static void unannounced(uint64_t seed)
{
    begin(seed);
    tell(0, 1, CHV_OP_WRITE, 0, 8); /* not one device is in the list yet */
    announce(0, 2, "disk:a", SECTORS);
    tell(0, 3, CHV_OP_ZERO, 0, 8);
    tell(0, 3, CHV_OP_READ, 0, 8);
    tell(4, VISOR_UNIT_ALL, CHV_OP_GAP, 0, 0);
    tell(4, VISOR_UNIT_ALL, CHV_OP_FLUSH, 0, 0);
    tell(0, 2, CHV_OP_WRITE, 0, 8);
    end();
    CHECK(records_lost() == 3 && heard.gaps == 3 && heard.told == 3 && heard.placeless == 3 && heard.others == 3);
    CHECK(heard.writes == 1 && strstr(fake_console, "it is a gap"));
}

/* More disks than the list has room for; two of one name; names that are none. */
static void crowded(uint64_t seed)
{
    begin(seed);
    for (uint16_t i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "disk:%u", i);
        announce(i, 1, name, SECTORS);
    }
    announce(30, 1, "disk:3", SECTORS); /* would be another, if there were room */
    announce(31, 1, "disk a", SECTORS);
    announce(32, 1, RECORDS_OTHERS, SECTORS);
    CHECK(net.sender.device_count == CHV_WIRE_DEVICES - 1);
    for (uint16_t i = 0; i < 20; i++) tell(i, 1, CHV_OP_WRITE, 0, 8);
    for (uint16_t i = 30; i < 33; i++) tell(i, 1, CHV_OP_WRITE, 0, 8);
    end();
    CHECK(heard.writes == CHV_WIRE_DEVICES - 1 && heard.others == 23 - (CHV_WIRE_DEVICES - 1) && records_lost() == heard.others);
}

/* Disks of one serial number, or of none, are told apart by where they are; nothing of one is told as another's. */
static void namesakes(uint64_t seed)
{
    static const char *const names[] = {"disk:a", "disk:a-00.00.0.1", "disk:a-00.01.0.1", "disk:a-00.01.0.2", "disk:-00.02.0.1",
                                        "disk:a2345678901234567890n1", "disk:a234567890123456-00.04.0.1", "disk:a234567-00.05.0.4294967294"};
    begin(seed);
    fake_console_clear();
    announce(0, 1, "disk:a", SECTORS);
    tell(0, 1, CHV_OP_READ, 0, 8);
    announce(1, 1, "disk:a", SECTORS); /* the first is called by its place, too: what is of that name is unknown from now on */
    announce(1, 2, "disk:a", SECTORS);
    announce(2, 1, "disk:", SECTORS);
    announce(3, 1, "disk:a2345678901234567890n1", SECTORS);
    tell(3, 1, CHV_OP_WRITE, 0, 8); /* it keeps its name */
    announce(4, 1, "disk:a2345678901234567890n1", SECTORS);
    announce(5, 4294967294, "disk:a2345678901234567890n1", SECTORS);
    CHECK(net.sender.device_count == ARRAY_LENGTH(names));
    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++) CHECK(!strncmp(net.sender.devices[i].name, names[i], CHV_WIRE_NAME_BYTES - 1));
    CHECK(strstr(fake_console, "visor: disk 1:2 has no serial number of its own: it is disk:a-00.01.0.2\r\n"));
    CHECK(strstr(fake_console, "visor: disk 0:1 has no serial number of its own: it is disk:a-00.00.0.1\r\n"));
    announce(1, 1, "disk:a", 1600); /* it has grown, under the name that it has */
    CHECK(net.sender.device_count == ARRAY_LENGTH(names) && net.sender.devices[2].bytes == 1600 * 512 && net.sender.devices[1].bytes == SECTORS * 512);
    tell(1, 1, CHV_OP_WRITE, 1592, 8);
    tell(0, 1, CHV_OP_WRITE, 0, 8);
    announce(6, 1, "disk:a-00.07.0.1", SECTORS); /* somebody has the name that another one would get */
    announce(7, 1, "disk:a", SECTORS);
    shared = CHV_GAP_UNKNOWN;
    announce(8, 1, "disk:b", SECTORS);
    announce(9, 1, "disk:b", SECTORS); /* one namespace by two ways: neither is all that is written to it */
    shared = 0;
    CHECK(net.sender.device_count == ARRAY_LENGTH(names) + 2 && records_lost() == 0);
    tell(7, 1, CHV_OP_WRITE, 0, 8);
    tell(9, 1, CHV_OP_WRITE, 0, 8);
    end();
    CHECK(records_lost() == 2 && heard.others == 2 && heard.writes == 3 && heard.reads == 1 && heard.gaps == 3);
}

/* Behind the end, across blocks, and a disk that grows or pretends to shrink. */
static void places(uint64_t seed)
{
    begin(seed);
    announce(0, 1, "disk:a", SECTORS);
    tell(0, 1, CHV_OP_WRITE, 808, 8);
    CHECK(records_lost() == 1);
    tell(0, 1, CHV_OP_READ, 808, 8);
    tell(0, 1, CHV_OP_READ, 800, 16);
    announce(0, 1, "disk:a", 80); /* what it still holds behind that is written all the same */
    tell(0, 1, CHV_OP_WRITE, 400, 8);
    CHECK(net.sender.devices[0].bytes == SECTORS * 512 && records_lost() == 1);
    tell(0, 1, CHV_OP_TRIM, 792, 24); /* what is inside is unknown: up to an end that will be none when this arrives */
    CHECK(records_lost() == 2);
    announce(0, 1, "disk:a", 1600);
    tell(0, 1, CHV_OP_WRITE, 1592, 8);
    end();
    CHECK(records_lost() == 2 && heard.gaps == 2 && heard.placeless == 1 && heard.others == 0);
    CHECK(heard.writes == 2 && heard.reads == 1);
    CHECK(heard.gap_lba == 792 && heard.gap_sectors == SECTORS - 792);

    begin(seed);
    announce(0, 1, "disk:a", SECTORS);
    tell(0, 1, CHV_OP_WRITE, 4, 8);
    end();
    CHECK(records_lost() == 1 && heard.gap_lba == 0 && heard.gap_sectors == 16);
    begin(seed);
    announce(0, 1, "disk:a", SECTORS);
    tell(0, 1, CHV_OP_ZERO, 784, 4);
    end();
    CHECK(records_lost() == 1 && heard.gap_lba == 784 && heard.gap_sectors == 8);
    begin(seed);
    announce(0, 1, "disk:a", UINT64_C(3) << 32);
    tell(0, 1, CHV_OP_TRIM, 0, UINT64_C(4) << 32);
    end();
    CHECK(records_lost() == 1 && heard.gaps == 4 && heard.told == 1);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    usual(seed);
    unannounced(seed);
    crowded(seed);
    namesakes(seed);
    places(seed);
    return 0;
}
