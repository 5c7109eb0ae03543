/* An evaluation as JSON. */
#include <jansson.h>
#include <math.h>

#include "detect/evaluate.h"

static void put(json_t *object, const char *name, double v)
{
    json_object_set_new(object, name, isfinite(v) ? json_real(v) : json_null());
}

static void put_count(json_t *object, const char *name, size_t n)
{
    json_object_set_new(object, name, json_integer((json_int_t)n));
}

static void put_windows(json_t *o, const struct evaluation *e)
{
    put_count(o, "windows", e->windows);
    put_count(o, "windows_ransomware", e->windows_ransomware);
    put(o, "precision", e->precision);
    put(o, "recall", e->recall);
    put(o, "f1", e->f1);
    put(o, "roc_auc", e->auc);
    put(o, "tpr_at_fpr_0.01", e->tpr_at_fpr_1);
    put(o, "macro_f1", e->macro_f1);
    put(o, "weighted_f1", e->weighted_f1);
}

static void put_runs(json_t *o, const struct evaluation *e)
{
    put_count(o, "ransomware_runs", e->runs_ransomware);
    put_count(o, "detected", e->detected);
    put_count(o, "benign_runs", e->runs_benign);
    put_count(o, "false_alarms", e->false_alarms);
    put(o, "runs_precision", e->runs_precision);
    put(o, "runs_recall", e->runs_recall);
    put(o, "runs_f1", e->runs_f1);
    put(o, "runs_false_alarm_share", e->runs_benign > 0 ? (double)e->false_alarms / (double)e->runs_benign : NAN);
    put(o, "runs_roc_auc", e->runs_auc);
    put(o, "runs_tpr_at_fpr_0.01", e->runs_tpr_at_fpr_1);
    put(o, "seconds_to_alarm_median", e->seconds_median);
    put(o, "seconds_to_alarm_p90", e->seconds_p90);
    put(o, "bytes_written_before_alarm_median", e->written_median);
    put(o, "bytes_written_before_alarm_p90", e->written_p90);
    put(o, "bytes_read_before_alarm_median", e->read_median);
    put(o, "bytes_read_before_alarm_p90", e->read_p90);
    put(o, "benign_hours", e->benign_seconds / 3600);
    put(o, "benign_active_hours", e->benign_active_seconds / 3600);
    put_count(o, "benign_alarms", e->benign_alarms);
    put(o, "alarms_a_day", e->alarms_a_day);
    put(o, "alarms_a_day_at_most", e->alarms_a_day_most);
}

static void put_losses(json_t *o, const struct evaluate_losses *l)
{
    json_t *all = json_object();
    if (l->runs == 0) {
        json_decref(all);
        return;
    }
    put_count(all, "runs", l->runs);
    put_count(all, "found", l->found);
    put_count(all, "early", l->early);
    put_count(all, "found_within_2_s_or_16_mib", l->prompt);
    put_count(all, "found_within_60_s", l->minute);
    for (size_t i = 0; i < LOSSES; i++) {
        json_t *one = json_object();
        put(one, "median", l->median[i]);
        put(one, "p90", l->p90[i]);
        put(one, "worst", l->worst[i]);
        json_object_set_new(all, evaluate_loss_name((enum evaluate_loss)i), one);
    }
    json_object_set_new(o, "losses", all);
}

static json_t *families(const struct samples *s, const struct evaluation *e)
{
    json_t *list = json_array();
    for (size_t f = 0; f < s->families; f++) {
        json_t *one = json_object(), *named = json_array();
        const struct evaluate_family *of = &e->family[f];
        json_object_set_new(one, "family", json_string(s->family[f]));
        json_object_set_new(one, "ransomware", json_boolean(s->ransomware[f]));
        put_count(one, "runs", of->runs);
        put_count(one, "alarms", of->alarms);
        put(one, "precision", of->precision);
        put(one, "recall", of->recall);
        put(one, "f1", of->f1);
        for (size_t o = 0; evaluate_class(s, o); o++) json_array_append_new(named, json_integer((json_int_t)e->confusion[f][o]));
        json_object_set_new(one, "windows_named", named);
        put_losses(one, &of->losses);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *conditions(const struct evaluation *e)
{
    json_t *list = json_array();
    for (size_t c = 0; c < e->conditions; c++) {
        json_t *one = json_object();
        const struct evaluate_condition *of = &e->condition[c];
        json_object_set_new(one, "condition", json_string(of->name));
        put_count(one, "ransomware_runs", of->runs_ransomware);
        put_count(one, "detected", of->detected);
        put_count(one, "benign_runs", of->runs_benign);
        put_count(one, "false_alarms", of->false_alarms);
        put(one, "runs_f1", evaluate_condition_f1(of));
        json_array_append_new(list, one);
    }
    return list;
}

/* The paths of the runs that were missed. */
static json_t *missed(const struct samples *s, const struct evaluation *e)
{
    json_t *list = json_array();
    for (size_t r = 0; r < s->runs; r++)
        if (e->run[r].judged && s->ransomware[s->run[r].label] && !e->run[r].alarm) json_array_append_new(list, json_string(s->run[r].run->path));
    return list;
}

/* Every run that was judged: how far its decider's sum came, and when the alarm was raised. */
static json_t *every_run(const struct samples *s, const struct evaluation *e)
{
    json_t *list = json_array();
    for (size_t r = 0; r < s->runs; r++) {
        const struct evaluate_run *of = &e->run[r];
        if (!of->judged) continue;
        json_t *one = json_object();
        json_object_set_new(one, "run", json_string(s->run[r].run->path));
        json_object_set_new(one, "family", json_string(s->family[s->run[r].label]));
        json_object_set_new(one, "ransomware", json_boolean(s->ransomware[s->run[r].label]));
        put(one, "highest", of->highest);
        put(one, "alarm_seconds", of->alarm ? (double)of->alarm_ns * 1e-9 : NAN);
        json_array_append_new(list, one);
    }
    return list;
}

/* The benign runs with an alarm, and when: seconds in the run's own time. */
static json_t *false_alarms(const struct samples *s, const struct evaluation *e)
{
    json_t *list = json_array();
    for (size_t r = 0; r < s->runs; r++) {
        const struct evaluate_run *of = &e->run[r];
        if (!of->judged || s->ransomware[s->run[r].label] || !of->alarm) continue;
        json_t *one = json_object(), *seconds = json_array();
        for (size_t i = 0; i < of->alarms && i < EVALUATE_ALARMS_KEPT; i++)
            json_array_append_new(seconds, json_real((double)of->at_ns[i] * 1e-9));
        json_object_set_new(one, "run", json_string(s->run[r].run->path));
        json_object_set_new(one, "alarms", json_integer((json_int_t)of->alarms));
        json_object_set_new(one, "seconds", seconds);
        json_array_append_new(list, one);
    }
    return list;
}

json_t *evaluation_json(const struct samples *s, const struct evaluation *e, bool all)
{
    json_t *o = json_object();
    put_count(o, "folds", e->folds);
    put_count(o, "folds_impossible", e->folds_impossible);
    put_windows(o, e);
    put_runs(o, e);
    put_losses(o, &e->losses);
    if (all) {
        json_t *classes = json_array();
        for (size_t c = 0; evaluate_class(s, c); c++) json_array_append_new(classes, json_string(evaluate_class(s, c)));
        json_object_set_new(o, "classes", classes);
        json_object_set_new(o, "families", families(s, e));
        json_object_set_new(o, "conditions", conditions(e));
        json_object_set_new(o, "runs", every_run(s, e));
        json_object_set_new(o, "missed", missed(s, e));
        json_object_set_new(o, "alarmed_falsely", false_alarms(s, e));
    }
    return o;
}
