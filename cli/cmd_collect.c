/* collect: receive from a sensor over the network into a store. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "net/collect.h"

static const struct cli_option options[] = {
    {"--udp", "ADDR", "address to listen at: HOST:PORT, [V6]:PORT or :PORT (port 0: any)"},
    {"--key", "FILE", "the key that the sensor has as well: 64 hex digits, readable by its owner only"},
    CLI_OPT_STORE,
    {"--rest", "unknown|zero", "what a new disk holds where nothing was recorded (default: as the sensor says)"},
    {"--between", "gap|trust", "what a disk held when no sensor ran: unknown, or as the last one left it (default: gap)"},
    {"--queue", "SIZE", "bytes of blocks held in the queue, as 256M (default: 64M)"},
    {"--block-size", "4096|512", "of a store made by this call (default: 4096)"},
    {"--sign", "KEY.pem", "Ed25519 private key that signs the log"},
    CLI_OPT_REASON,
    {0},
};

static void say(void *arg, const char *what, const char *text)
{
    const struct cli_args *args = arg;
    if (args->json) {
        printf("{\"collect\": \"%s\", \"text\": ", what);
        cli_json_string(stdout, text);
        printf("}\n");
        fflush(stdout);
    } else {
        char line[320];
        snprintf(line, sizeof line, "%s%s%s", what, strcmp(what, "listening") == 0 ? " on " : ": ", text);
        cli_error_line("collect", line);
    }
    /* what changes the evidence; sessions come and go with the network */
    if (strcmp(what, "stream") == 0 || strcmp(what, "missing") == 0 || strcmp(what, "asked") == 0) cli_custody(args, what, "%s", text);
}

static bool one_of(const struct cli_args *args, const char *name, const char *first, const char *second, bool *is_second)
{
    const char *value = cli_value(args, name);
    *is_second = value && strcmp(value, second) == 0;
    if (!value || *is_second || strcmp(value, first) == 0) return true;
    cli_failf(args, "%s '%.40s': %s or %s", name, value, first, second);
    return false;
}

static bool read_options(const struct cli_args *args, struct collect_options *o)
{
    uint64_t block, queue;
    *o = (struct collect_options){.address = cli_value(args, "--udp"), .key_path = cli_value(args, "--key"), .say = say, .arg = (void *)args};
    o->sink.store_dir = cli_store_dir(args);
    o->sink.signing_key = cli_value(args, "--sign");
    if (!o->sink.store_dir || !one_of(args, "--rest", "unknown", "zero", &o->sink.rest_zero) ||
        !one_of(args, "--between", "gap", "trust", &o->sink.trust_between) || !cli_number(args, "--block-size", 0, 4096, &block) ||
        !cli_number(args, "--queue", 0, UINT64_C(1) << 32, &queue))
        return false;
    o->sink.block_bytes = (uint32_t)block;
    o->sink.queue_blocks = queue / (block ? block : CHV_WIRE_BLOCK_BYTES);
    if (args->count > 0)
        cli_failf(args, "unexpected argument '%.60s'", args->positional[0]);
    else if (!o->address)
        cli_failf(args, "where do the sensor's frames arrive? add --udp HOST:PORT");
    else if (!o->key_path)
        cli_failf(args, "which key does the sensor have? add --key FILE; 'openssl rand -hex 32' makes one");
    else if (cli_value(args, "--block-size") && block != 4096 && block != 512)
        cli_failf(args, "--block-size %s: blocks have 4096 or 512 bytes", cli_value(args, "--block-size"));
    else if (cli_value(args, "--queue") && (o->sink.queue_blocks < CHV_QUEUE_BLOCKS_MIN || o->sink.queue_blocks > CHV_QUEUE_BLOCKS_MAX))
        cli_failf(args, "--queue %s: a queue has %u to %u blocks", cli_value(args, "--queue"), CHV_QUEUE_BLOCKS_MIN, CHV_QUEUE_BLOCKS_MAX);
    else
        return true;
    return false;
}

static void print_counters(const struct cli_args *args, const struct collect_counters *c)
{
    const struct {
        const char *name, *text;
        uint64_t value;
    } rows[] = {
        {"datagrams", "datagrams received", c->datagrams},
        {"malformed", "of them malformed", c->wire.malformed},
        {"forged", "forged: not sealed with the key", c->wire.forged},
        {"replayed", "replayed", c->wire.replayed},
        {"stray", "of no live session", c->wire.stray},
        {"refused", "from a sensor that is not this store's", c->wire.refused},
        {"again", "chunks that had arrived already", c->wire.again},
        {"beyond", "chunks beyond the window", c->wire.beyond},
        {"bad_records", "sessions ended by a record that makes no sense", c->wire.bad_records},
        {"sessions", "sessions", c->wire.sessions},
        {"streams", "streams", c->store.streams},
        {"acknowledgements", "acknowledgements sent", c->wire.acks},
        {"records", "records", c->store.records},
        {"content_bytes", "bytes of content", c->store.bytes},
        {"partial", "records of a part of a block", c->store.partial},
        {"partial_unknown", "of them with a rest that is not known: a gap", c->store.partial_unknown},
        {"gaps", "gaps recorded, those included", c->store.gaps},
        {"unobserved", "gaps because nobody watched", c->store.unobserved},
        {"missing", "records that the sensor no longer had", c->store.missing},
        {"clock_ahead", "records of the future, taken as of now", c->store.clock_ahead},
        {"new_blocks", "new blocks", c->recorder.new_blocks},
        {"duplicate_blocks", "blocks seen before", c->recorder.duplicate_blocks},
        {"commits", "commits", c->recorder.commits},
        {"last_seq", "last durable event", c->recorder.last_seq},
    };
    if (args->json) printf("{\"collect\": \"counters\"");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (args->json)
            printf(", \"%s\": %" PRIu64, rows[i].name, rows[i].value);
        else if (rows[i].value > 0)
            printf("%12" PRIu64 "  %s\n", rows[i].value, rows[i].text);
    }
    if (args->json) printf("}\n");
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    struct collect_options o;
    struct collect_counters counters;
    struct chv_err err;
    if (!cli_parse(&cmd_collect, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    if (read_options(&args, &o)) {
        int r = collect_run(&o, &counters, &err);
        if (r == 0 || counters.datagrams > 0) print_counters(&args, &counters);
        code = r < 0 ? cli_fail(&args, &err) : CLI_OK;
    }
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_collect = {
    .name = "collect",
    .group = "Record",
    .synopsis = "--udp ADDR --key FILE [OPTION…]",
    .summary = "receive what a sensor records, over the network, into a store",
    .example = "chronovisor collect --udp 0.0.0.0:7117 --key sensor.key --store evidence",
    .options = options,
    .run = run,
};
