/* The kernel's loadable modules. */
#ifndef CHV_SENSOR_MEMORY_LINUX_MODULES_H
#define CHV_SENSOR_MEMORY_LINUX_MODULES_H

#include "sensor/memory/linux.h"

#define LINUX_MODULES_MAX 8192u

struct linux_module {
    uint64_t address;  /* of its struct module */
    char name[64];     /* always terminated; any bytes */
    uint64_t base;     /* of its code */
    uint64_t bytes;    /* of everything it has in memory, as /proc/modules counts it */
    uint32_t state;    /* enum linux_module_state, or anything else */
    int32_t references; /* by others; INT32_MIN: not known */
};

enum linux_module_state { /* as in the kernel's module.h */
    LINUX_MODULE_LIVE = 0,
    LINUX_MODULE_COMING = 1,
    LINUX_MODULE_GOING = 2,
    LINUX_MODULE_UNFORMED = 3,
};

/* In the order of the kernel's list, the newest first; malloc'd. *broken: the list ended in something that is no module, so there may be
 * more. ENOENT: this kernel's types have no modules, or none is loaded. */
int linux_modules(struct linux_kernel *k, struct linux_module **out, size_t *count, bool *broken, struct chv_err *err);

#endif
