/* Detection beside a recording: `chronovisor detect --follow` on the same store, as a process of its own, so that nothing
 * that goes wrong in it touches the recording. */
#ifndef CHV_CLI_RECORD_DETECT_H
#define CHV_CLI_RECORD_DETECT_H

#include "cli/cli.h"

#define RECORD_DETECT_OPTIONS \
    {"--detect", "MODEL", "raise alarms while recording, as chronovisor detect --follow --model MODEL does"}, \
        {"--watch", "LIST", "alarm on written blocks of this list (SHA-256)"}, \
        {"--yara", "RULES", "alarm on written blocks that these YARA rules match"}, \
        {"--on-alarm", "log|hold", "hold: writes wait from an alarm until 'chronovisor release' (default: log)"}, \
        {"--ecs", "FILE", "append alarms as Elastic Common Schema documents"}, \
        {"--syslog", NULL, "send alarms to syslog"}, {"--webhook", "URL", "POST alarms to this URL"}, \
        {"--exec", "COMMAND", "run this shell command for each alarm, with the alarm on its standard input"}

/* Is detection asked for? False with *good false after one line: options that make no sense. */
bool record_detect_wanted(const struct cli_args *args, bool *good);
/* Is everything there that it needs? false after one line. */
bool record_detect_check(const struct cli_args *args, uint32_t block_bytes);
/* Start it, from the next event of the store on. It is watched over: when it dies it is started again. It ends by itself when
 * this process, or what this process becomes by exec, does. false after one line. */
bool record_detect_start(const struct cli_args *args, const char *store_dir);

#endif
