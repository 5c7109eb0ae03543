#include "detect/model.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "detect/model_impl.h"

static const char *const kind_names[MODEL_KINDS] = {"rf", "svm", "knn", "gbt"};

const char *model_kind_name(enum model_kind kind)
{
    return (unsigned)kind < MODEL_KINDS ? kind_names[kind] : NULL;
}

int model_kind_find(const char *name)
{
    for (int i = 0; i < MODEL_KINDS; i++)
        if (strcmp(name, kind_names[i]) == 0) return i;
    return -1;
}

void model_free(struct model *m)
{
    if (!m) return;
    for (size_t i = 0; i < MODEL_CLASSES_MAX; i++) free(m->class_name[i]);
    free(m->command);
    free(m->metrics);
    forest_fini(&m->forest);
    svm_fini(&m->svm);
    knn_fini(&m->knn);
    model_free(m->reads);
    model_free(m->encrypted);
    free(m);
}

enum model_kind model_kind(const struct model *m)
{
    return m->kind;
}

enum model_mode model_mode(const struct model *m)
{
    return m->mode;
}

enum feature_set model_feature_set(const struct model *m)
{
    return m->set;
}

size_t model_class_count(const struct model *m)
{
    return m->classes;
}

const char *model_class_name(const struct model *m, size_t index)
{
    return index < m->classes ? m->class_name[index] : NULL;
}

bool model_class_is_ransomware(const struct model *m, size_t index)
{
    return index < m->classes && m->ransomware[index];
}

const struct model *model_reads_part(const struct model *m)
{
    return m->mode == MODEL_READS ? m : m->reads;
}

void model_attach_reads(struct model *m, struct model *reads)
{
    model_free(m->reads);
    m->reads = reads;
}

const struct model *model_part(const struct model *m, bool encrypted)
{
    return encrypted && m->encrypted ? m->encrypted : m;
}

void model_attach_encrypted(struct model *m, struct model *encrypted)
{
    model_free(m->encrypted);
    m->encrypted = encrypted;
}

void model_facts(const struct model *m, struct model_facts *out)
{
    *out = (struct model_facts){.rows = m->rows, .runs = m->runs, .seed = m->seed, .command = m->command, .metrics_json = m->metrics};
    memcpy(out->table_sha256, m->table_sha256, sizeof out->table_sha256);
}

int model_describe(struct model *m, enum model_mode mode, const char *command, const char *metrics_json)
{
    json_t *metrics = metrics_json ? json_loads(metrics_json, 0, NULL) : NULL;
    if (metrics_json && !json_is_object(metrics)) {
        json_decref(metrics);
        return -EINVAL;
    }
    json_decref(metrics);
    char *new_command = command ? strdup(command) : NULL, *new_metrics = metrics_json ? strdup(metrics_json) : NULL;
    if ((command && !new_command) || (metrics_json && !new_metrics)) {
        free(new_command);
        free(new_metrics);
        return -ENOMEM;
    }
    free(m->command);
    free(m->metrics);
    m->command = new_command;
    m->metrics = new_metrics;
    m->mode = mode;
    return m->encrypted ? model_describe(m->encrypted, mode, command, NULL) : 0;
}

const struct decision *model_decision(const struct model *m)
{
    return &m->decision;
}

void model_set_decision(struct model *m, const struct decision *decision)
{
    m->decision = *decision;
    if (m->encrypted) m->encrypted->decision = *decision;
}

void model_scale(const struct model *m, const double *x, double *scaled)
{
    for (size_t i = 0; i < m->columns; i++) {
        double z = (x[i] - m->mean[i]) * m->scale[i];
        scaled[i] = z < -10 ? -10 : z > 10 ? 10 : z;
    }
}

double model_score(const struct model *m, const double *x, double *probability)
{
    double own[MODEL_CLASSES_MAX], *p = probability ? probability : own, score = 0;
    switch (m->kind) {
    case MODEL_SVM: svm_score(m, x, p); break;
    case MODEL_KNN: knn_score(m, x, p); break;
    default: forest_score(m, x, p); break;
    }
    for (size_t i = 0; i < m->classes; i++)
        if (m->ransomware[i]) score += p[i];
    return score > 1 ? 1 : score;
}

void model_explain(const struct model *m, const double *x, double *contribution)
{
    if (m->kind == MODEL_RF || m->kind == MODEL_GBT) {
        forest_explain(m, x, contribution);
        return;
    }
    double changed[FEATURES_MAX], score = model_score(m, x, NULL);
    memcpy(changed, x, m->columns * sizeof *changed);
    for (size_t i = 0; i < m->columns; i++) {
        changed[i] = m->mean[i];
        contribution[i] = score - model_score(m, changed, NULL);
        changed[i] = x[i];
    }
}
