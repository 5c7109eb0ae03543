/* chronovisor memory modules: the kernel's loadable modules, as its own list has them. */
#include <errno.h>
#include <stdlib.h>

#include "cli/memory_verbs.h"
#include "sensor/memory/linux_modules.h"

static const char *state_name(uint32_t state)
{
    static const char *const names[] = {"live", "loading", "unloading", "unformed"};
    return state < sizeof names / sizeof *names ? names[state] : "?";
}

static void print_module(const struct linux_module *m, bool json)
{
    if (json) {
        printf("{\"name\": ");
        cli_json_string(stdout, m->name);
        printf(", \"address\": \"0x%llx\", \"bytes\": %llu, \"state\": \"%s\"", (unsigned long long)m->base, (unsigned long long)m->bytes,
               state_name(m->state));
        if (m->references != INT32_MIN) printf(", \"references\": %d", (int)m->references);
        printf("}\n");
        return;
    }
    printf("%16llx %10llu  %-9s ", (unsigned long long)m->base, (unsigned long long)m->bytes, state_name(m->state));
    if (m->references != INT32_MIN)
        printf("%4d  ", (int)m->references);
    else
        printf("%4s  ", "-");
    printf("%s\n", m->name);
}

static int list(const struct cli_args *args, const struct memory_source *src)
{
    struct chv_err err;
    struct linux_module *modules;
    size_t count;
    bool broken;
    if (!src->kernel) return cli_failf(args, "%s: modules are of a kernel that can be read: %s", src->name, src->why.text);
    int r = linux_modules(src->kernel, &modules, &count, &broken, &err);
    if (r == -ENOENT) {
        fprintf(stderr, "note: %s\n", err.text);
        return CLI_NOTHING;
    }
    if (r < 0) return cli_fail(args, &err);
    if (!args->json) printf("%16s %10s  %-9s %4s  %s\n", "ADDRESS", "BYTES", "STATE", "REFS", "NAME");
    for (size_t i = 0; i < count; i++) print_module(&modules[i], args->json);
    if (broken) fprintf(stderr, "note: the kernel's list of modules is damaged, so there may be more\n");
    free(modules);
    return CLI_OK;
}

int memory_modules(const struct cli_args *args)
{
    struct memory_source src;
    int code = memory_source_open(args, &src);
    if (code == CLI_OK) code = list(args, &src);
    memory_source_close(&src);
    return code;
}
