/* What an attack had done by the alarm, from what its recording and the attacker itself say. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/evaluate_impl.h"

static const char *const names[LOSSES] = {
    [LOSS_SECONDS] = "seconds",
    [LOSS_SECONDS_DISK] = "seconds_disk",
    [LOSS_WRITTEN] = "written_bytes",
    [LOSS_WRITTEN_SHARE] = "written_share",
    [LOSS_OVERWRITTEN] = "overwritten_bytes",
    [LOSS_OVERWRITTEN_SHARE] = "overwritten_share",
    [LOSS_FILES_DISK] = "files_disk",
    [LOSS_FILES_DISK_SHARE] = "files_disk_share",
    [LOSS_FILES_GUEST] = "files_guest",
    [LOSS_FILES_GUEST_SHARE] = "files_guest_share",
    [LOSS_BYTES_GUEST] = "bytes_guest",
    [LOSS_BYTES_GUEST_SHARE] = "bytes_guest_share",
};

const char *evaluate_loss_name(enum evaluate_loss loss)
{
    return (unsigned)loss < LOSSES ? names[loss] : NULL;
}

/* NAN where the tree's size is not known. */
static double share(double part, uint64_t whole)
{
    return whole > 0 ? part / (double)whole : NAN;
}

static double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

/* In the guest, and how far of that the disk had come: it cannot be ahead of the cache. */
static void from_hits(const struct hits *hits, uint64_t at_ns, double written, double *out)
{
    const struct hit *guest = hits_at(hits, at_ns);
    if (!guest) return;
    const struct hit *disk = hits_at_bytes(hits, (uint64_t)written);
    out[LOSS_FILES_GUEST] = (double)guest->files;
    out[LOSS_BYTES_GUEST] = (double)guest->bytes;
    out[LOSS_FILES_DISK] = (double)(written <= 0 ? 0 : disk->files < guest->files ? disk->files : guest->files);
}

/* Of one run; `at_ns` in the rows' time, UINT64_MAX: the alarm never came. */
static void losses_of_run(const struct samples_run *run, uint64_t at_ns, double out[LOSSES])
{
    const struct dataset_run *of = run->run;
    uint64_t malicious_ns = of->malicious_ns - of->begin_ns;
    bool never = at_ns == UINT64_MAX;
    const struct samples_loss *loss = samples_loss_before(run, at_ns);
    for (size_t i = 0; i < LOSSES; i++) out[i] = NAN;
    out[LOSS_SECONDS] = never ? INFINITY : seconds_between(malicious_ns, at_ns);
    out[LOSS_WRITTEN] = loss ? (double)loss->written_bytes : 0;
    out[LOSS_OVERWRITTEN] = loss ? (double)loss->overwritten_bytes : 0;
    out[LOSS_SECONDS_DISK] = run->losses == 0 ? NAN : never ? INFINITY : seconds_between(run->loss[0].time_ns, at_ns);
    from_hits(&run->hits, never ? UINT64_MAX : of->begin_ns + at_ns, out[LOSS_WRITTEN], out);
    if (!never && at_ns <= malicious_ns) /* early: a second that was not over had nothing malicious in it, or just its end */
        for (size_t i = LOSS_WRITTEN; i < LOSSES; i++) out[i] = isnan(out[i]) ? NAN : 0;
    out[LOSS_WRITTEN_SHARE] = share(out[LOSS_WRITTEN], of->tree_bytes);
    out[LOSS_OVERWRITTEN_SHARE] = share(out[LOSS_OVERWRITTEN], of->tree_bytes);
    out[LOSS_FILES_DISK_SHARE] = share(out[LOSS_FILES_DISK], of->tree_files);
    out[LOSS_FILES_GUEST_SHARE] = share(out[LOSS_FILES_GUEST], of->tree_files);
    out[LOSS_BYTES_GUEST_SHARE] = share(out[LOSS_BYTES_GUEST], of->tree_bytes);
}

/* Over the runs of a family, or of all (families). `work` holds LOSSES * runs numbers. */
static void losses_of(const struct judgements *j, uint32_t family, double *work, struct evaluate_losses *out)
{
    const struct samples *s = j->samples;
    size_t known[LOSSES] = {0};
    memset(out, 0, sizeof *out);
    for (size_t r = 0; r < s->runs; r++) {
        const struct samples_run *run = &s->run[r];
        const struct evaluate_run *one = &j->run[r];
        double of_run[LOSSES];
        if (!one->judged || !run->run->malicious_ns || (family < s->families && run->label != family)) continue;
        bool early = one->alarm && one->alarm_ns <= run->run->malicious_ns - run->run->begin_ns;
        out->runs++;
        out->early += early;
        out->found += one->alarm && !early;
        losses_of_run(run, one->alarm ? one->alarm_ns : UINT64_MAX, of_run);
        if (one->alarm && !early) {
            out->prompt += of_run[LOSS_SECONDS_DISK] <= EVALUATE_PROMPT_SECONDS || of_run[LOSS_WRITTEN] <= EVALUATE_PROMPT_BYTES;
            out->minute += of_run[LOSS_SECONDS_DISK] <= 60;
        }
        for (size_t i = 0; i < LOSSES; i++)
            if (!isnan(of_run[i])) work[i * s->runs + known[i]++] = of_run[i];
    }
    for (size_t i = 0; i < LOSSES; i++) {
        double *list = work + i * s->runs;
        qsort(list, known[i], sizeof *list, by_value);
        out->median[i] = quantile(list, known[i], 0.5);
        out->p90[i] = quantile(list, known[i], 0.9);
        out->worst[i] = quantile(list, known[i], 1);
    }
}

int measure_losses(const struct judgements *j, struct evaluation *out)
{
    const struct samples *s = j->samples;
    double *work = malloc((s->runs + 1) * LOSSES * sizeof *work);
    if (!work) return -ENOMEM;
    for (uint32_t f = 0; f < s->families; f++) losses_of(j, f, work, &out->family[f].losses);
    losses_of(j, (uint32_t)s->families, work, &out->losses);
    free(work);
    return 0;
}
