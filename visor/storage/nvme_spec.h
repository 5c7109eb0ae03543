/* What of NVM Express 1.4 the mediator knows. Section numbers are that revision's. */
#ifndef VISOR_STORAGE_NVME_SPEC_H
#define VISOR_STORAGE_NVME_SPEC_H

#include <stdint.h>

enum nvme_register { /* 3.1 */
    NVME_CAP = 0x00,
    NVME_CC = 0x14,
    NVME_NSSR = 0x20,
    NVME_AQA = 0x24,
    NVME_ASQ = 0x28,
    NVME_ACQ = 0x30,
    NVME_CMBLOC = 0x38,
    NVME_CMBSZ = 0x3c,
    NVME_CMBMSC = 0x50,
    NVME_PMRCAP = 0xe00,
    NVME_PMREND = 0xe1c,
    NVME_DOORBELLS = 0x1000,
};
#define NVME_CAP_CMBS (UINT64_C(1) << 57) /* controller memory buffer, persistent memory region: supported */
#define NVME_CAP_PMRS (UINT64_C(1) << 56)
#define NVME_CAP_NSSRS (UINT64_C(1) << 36) /* NVM subsystem reset: supported */
#define NVME_NSSR_RESET UINT32_C(0x4e564d65) /* "NVMe" */

struct nvme_command { /* 4.2 */
    uint8_t opcode;
    uint8_t flags; /* 1:0 fused, 7:6 PSDT */
    uint16_t id;
    uint32_t nsid;
    uint32_t cdw2, cdw3;
    uint64_t metadata;
    uint64_t data[2]; /* PRP1, PRP2, or an SGL descriptor */
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_command) == 64, "a submission queue entry");

struct nvme_completion { /* 4.6 */
    uint32_t result, reserved;
    uint16_t sq_head, sq;
    uint16_t id;
    uint16_t status; /* bit 0: phase; 15:1: status, 0 is success */
};
_Static_assert(sizeof(struct nvme_completion) == 16, "a completion queue entry");

enum nvme_admin_opcode { /* 5 */
    NVME_DELETE_SQ = 0x00,
    NVME_CREATE_SQ = 0x01,
    NVME_GET_LOG = 0x02,
    NVME_DELETE_CQ = 0x04,
    NVME_CREATE_CQ = 0x05,
    NVME_IDENTIFY = 0x06,
    NVME_ABORT = 0x08,
    NVME_SET_FEATURES = 0x09,
    NVME_GET_FEATURES = 0x0a,
    NVME_ASYNC_EVENT = 0x0c,
    NVME_NS_MANAGE = 0x0d,
    NVME_FW_COMMIT = 0x10,
    NVME_FW_DOWNLOAD = 0x11,
    NVME_SELF_TEST = 0x14,
    NVME_NS_ATTACH = 0x15,
    NVME_KEEP_ALIVE = 0x18,
    NVME_DIRECTIVE_SEND = 0x19,
    NVME_DIRECTIVE_RECEIVE = 0x1a,
    NVME_VIRTUALIZATION = 0x1c,
    NVME_MI_RECEIVE = 0x1e,
    NVME_DOORBELL_BUFFER = 0x7c,
    NVME_FORMAT = 0x80,
    NVME_SECURITY_RECEIVE = 0x82,
    NVME_LBA_STATUS = 0x86,
};

enum nvme_io_opcode { /* 6 */
    NVME_FLUSH = 0x00,
    NVME_WRITE = 0x01,
    NVME_READ = 0x02,
    NVME_WRITE_UNCORRECTABLE = 0x04,
    NVME_COMPARE = 0x05,
    NVME_WRITE_ZEROES = 0x08,
    NVME_DATASET = 0x09,
    NVME_VERIFY = 0x0c,
    NVME_RESERVATION_REGISTER = 0x0d,
    NVME_RESERVATION_REPORT = 0x0e,
    NVME_RESERVATION_ACQUIRE = 0x11,
    NVME_RESERVATION_RELEASE = 0x15,
    NVME_COPY = 0x19, /* of revision 2.0 */
};

/* Reserved in both command sets, moves no data: what a refused command becomes, which a controller answers with "Invalid
 * Command Opcode", as one does that has no such command. */
#define NVME_OPCODE_REFUSED 0x74u

#define NVME_NS_ALL UINT32_C(0xffffffff)
#define NVME_OACS_DOORBELL_BUFFER (1u << 8) /* Identify Controller, bytes 257:256 */

#endif
