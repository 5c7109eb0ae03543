/* What the verbs that read published data sets share: --ransap DIR, --features, --mode, --skip. */
#ifndef CHV_CLI_RANSAP_H
#define CHV_CLI_RANSAP_H

#include "cli/cli.h"
#include "detect/samples.h"

struct ransap {
    const struct cli_args *args;
    struct dataset *dataset;
    enum feature_set paired_set; /* --features, of streams with writes */
    const struct model *given;   /* a model whose features count in their place, or NULL */
    bool paired, reads; /* --mode: which kinds of streams; any: both */
    uint64_t skip_ns;
    bool keep_artefacts;
    bool encrypted;    /* --encrypted: learn a pair */
    bool as_encrypted; /* --as-encrypted: of what is judged */
    uint8_t *left_out; /* one a run: it could not be read, and that was said */
    size_t left_out_runs;
};

/* Read the options and open the data set. false after one line. */
bool ransap_open(const struct cli_args *args, struct ransap *out);
void ransap_close(struct ransap *r);
/* Parts of it, for verbs with other options; r->args is set. The data set that --ransap or --corpus names; which streams --mode
 * asks for. false after one line. */
bool ransap_dataset(struct ransap *r);
bool ransap_mode(struct ransap *r);
/* A run cannot be read: say why, once. */
void ransap_leave_out(struct ransap *r, size_t index, const struct chv_err *why);
/* What to exit with: CLI_NOTHING, after one line, where it would be CLI_OK but runs were left out. */
int ransap_end(const struct ransap *r, int code);
/* Say what of a data set was left out when it was opened; how many things. */
size_t ransap_complaints(const struct cli_args *args, const struct dataset *d);
/* A model kind by name; "default" is the kind that docs/model.md names. false after one line. */
bool ransap_kind(const struct cli_args *args, enum model_kind *out);
/* The feature set that --features means for a mode. */
enum feature_set ransap_set(const struct ransap *r, enum model_mode mode);
#define RANSAP_ALSO_FROM_NS UINT64_C(10000000000)
/* The rows of all runs that suit the mode; says on stderr what was wrong with the input. To learn from them: also the same runs
 * from their tenth second on (with --skip: also the whole runs). 1: none suits (nothing said),
 * 0, or CLI_ERROR after one line. */
int ransap_samples(struct ransap *r, enum model_mode mode, bool learn, struct samples **out);
/* "10s", "500ms", "2m", or seconds. false after one line; absent: 0. */
bool cli_duration(const struct cli_args *args, const char *name, uint64_t *ns);
/* --classes, into the samples. false after one line. */
bool ransap_classes(const struct ransap *r, struct samples *s);
/* --decision; absent: *d is left alone. false after one line. */
bool ransap_decision(const struct cli_args *args, struct decision *d);
/* One line on stderr when lines were dropped. */
void ransap_report(const struct cli_args *args, const struct dataset_report *report);

#define CLI_OPT_RANSAP {"--ransap", "DIR", "the data set: the folder that holds dataset/"}
#define CLI_OPT_CORPUS {"--corpus", "DIR", "in its place, our own recordings: the folder that holds manifest.json"}
#define CLI_OPT_FEATURES {"--features", "SET", "default; wide: many, of all kinds; content: many, of what became of contents; paper: the five of the RanSAP papers"}
#define CLI_OPT_MODE {"--mode", "MODE", "paired: streams with writes and reads; read: reads only; any: both (default)"}
#define CLI_OPT_DECISION {"--decision", "T,D,C", "threshold, drift and cap of the alarm, in place of the usual ones"}
#define CLI_OPT_CLASSES {"--classes", "family|two", "learn every family, or just ransomware and not (default: two with --corpus)"}
#define CLI_OPT_SKIP {"--skip", "TIME", "leave out so much of each run's beginning: 10s, 500ms"}
#define CLI_OPT_ENCRYPTED {"--encrypted", NULL, "learn every run once more as an encrypted disk would show it: a second model, for disks that show ciphertext only"}
#define CLI_OPT_AS_ENCRYPTED {"--as-encrypted", NULL, "judge the runs as an encrypted disk would show them"}
#define CLI_OPT_ARTEFACTS {"--keep-artefacts", NULL, "do not drop re-reads within a second and rows under 512 bytes"}

#endif
