/* Model files: what was saved comes back; what is cut off, damaged, or made to harm with a digest that fits is refused with a
 * reason. With a folder as argument it writes the small models there, which is how tests/corpus/model was made. */
#include <errno.h>
#include <math.h>
#include <openssl/evp.h>

#include "detect/model_impl.h"
#include "tests/unit.h"

enum { PREAMBLE = 56 };

static struct model *tiny(enum model_kind kind, enum feature_set set)
{
    struct model *m = calloc(1, sizeof *m);
    CHECK(m);
    *m = (struct model){.kind = kind, .mode = set == FEATURES_READ ? MODEL_READS : MODEL_PAIRED, .set = set, .columns = features_count(set),
                        .classes = 2, .decision = {8, 0.5, 2}, .rows = 4, .runs = 2, .seed = 1, .ransomware = {0, 1}};
    CHECK((m->class_name[0] = strdup("Zip")) && (m->class_name[1] = strdup("Cerber")));
    for (size_t c = 0; c < m->columns; c++) m->mean[c] = 0.1 * (double)c, m->scale[c] = 1 / (1 + (double)c);
    if (kind == MODEL_SVM) {
        struct svm *s = &m->svm;
        *s = (struct svm){.vectors = 2, .classes = 2, .gamma = 0.25, .first = calloc(3, 4), .rho = calloc(3, 8), .coefficient = calloc(2, 8),
                          .vector = calloc(2 * m->columns, 8)};
        CHECK(s->first && s->rho && s->coefficient && s->vector);
        s->first[1] = 1, s->first[2] = 2;
        s->prob_a = s->rho + 1, s->prob_b = s->rho + 2;
        s->prob_a[0] = -2;
        s->coefficient[0] = 1, s->coefficient[1] = -1;
        for (size_t c = 0; c < m->columns; c++) s->vector[c] = 1, s->vector[m->columns + c] = -1;
    } else if (kind == MODEL_KNN) {
        struct knn *k = &m->knn;
        *k = (struct knn){.rows = 3, .neighbours = 2, .label = calloc(3, 2), .x = calloc(3 * m->columns, 4)};
        CHECK(k->label && k->x);
        k->label[2] = 1;
        for (size_t c = 0; c < 3 * m->columns; c++) k->x[c] = (float)(c % 5) - 2;
    } else {
        struct forest *f = &m->forest;
        *f = (struct forest){.trees = 2, .root = calloc(3, 4), .class_of = calloc(2, 2), .node = calloc(6, 16)};
        CHECK(f->root && f->class_of && f->node);
        f->root[1] = 5, f->root[2] = 6;
        f->class_of[1] = 1;
        f->node[0] = (struct forest_node){.threshold = 0.5f, .value = 0.4f, .left = 1, .feature = 2};
        f->node[1] = (struct forest_node){.threshold = -1, .value = 0.3f, .left = 3, .feature = 4};
        f->node[2].value = 0.9f, f->node[3].value = 0.1f, f->node[4].value = 0.2f, f->node[5].value = 0.5f;
    }
    return m;
}

/* A digest that fits what the file now holds. */
static void sign(uint8_t *data, size_t bytes)
{
    CHECK(EVP_Digest(data + PREAMBLE, bytes - PREAMBLE, data + 24, NULL, EVP_sha256(), NULL) == 1);
}

static void refused(const uint8_t *data, size_t bytes, const char *want)
{
    struct chv_err err = {0};
    struct model *m = NULL;
    int r = model_decode(data, bytes, "m", &m, &err);
    if (r != -EBADMSG || !strstr(err.text, want)) fprintf(stderr, "%d '%s' does not say '%s'\n", r, err.text, want);
    CHECK(r == -EBADMSG && strstr(err.text, want) && strncmp(err.text, "m: ", 3) == 0 && !strchr(err.text, '\n'));
}

/* Put other text of the same length into the header. */
static void doctored(const struct model *m, const char *from, const char *to, const char *want)
{
    uint8_t *data;
    size_t bytes;
    CHECK(model_encode(m, &data, &bytes) == 0 && strlen(from) == strlen(to));
    uint8_t *at = memmem(data, bytes, from, strlen(from));
    CHECK(at);
    memcpy(at, to, strlen(to));
    sign(data, bytes);
    refused(data, bytes, want);
    free(data);
}

static void damage(const struct model *m)
{
    uint8_t *data;
    size_t bytes;
    CHECK(model_encode(m, &data, &bytes) == 0);
    for (size_t i = 0; i < bytes; i += i < 64 ? 1 : 37) {
        data[i] ^= 0x10;
        refused(data, bytes, i < 8 ? "no model file" : i < 12 ? "version" : i < 24 ? "cut off" : "SHA-256");
        data[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < bytes; cut += 101) {
        uint8_t *copy = malloc(cut ? cut : 1); /* of exactly that size: a read beyond it shows */
        CHECK(copy);
        memcpy(copy, data, cut);
        refused(copy, cut, cut < PREAMBLE ? "no model file" : "cut off");
        free(copy);
    }
    free(data);
}

static void hostile_headers(void)
{
    struct model *m = tiny(MODEL_RF, FEATURES_PAPER);
    doctored(m, "\"rf\"", "\"rg\"", "kind 'rg'");
    doctored(m, "\"kind\"", "\"mind\"", "kind");
    doctored(m, "\"paired\"", "\"paires\"", "neither");
    doctored(m, "\"paper\"", "\"taper\"", "feature set 'taper'");
    doctored(m, "\"write_bytes_s_w10\"", "\"write_bytes_s_w11\"", "train it again");
    doctored(m, "\"ransomware\": true", "\"ransomware\": 1234", "class 1");
    doctored(m, "\"threshold\": 8.0", "\"threshold\": -80", "decision");
    doctored(m, "\"offset\": 0", "\"offset\": 9", "outside");
    doctored(m, "\"offset\": 0", "\"offzet\": 0", "outside");
    model_free(m);
}

static void hostile_trees(void)
{
    struct model *m = tiny(MODEL_GBT, FEATURES_PAPER);
    uint8_t *data;
    size_t bytes;
    const struct {
        struct forest_node node;
        const char *want;
    } bad[] = {{{.left = 4, .feature = 1}, "outside"}, {{.left = 0xffffffff, .feature = 1}, "outside"}, {{.left = 1, .feature = 5}, "no node"},
               {{.left = 1, .threshold = NAN}, "no node"}, {{.value = INFINITY}, "no node"}, {{.zero = 1}, "no node"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct forest_node kept = m->forest.node[0];
        m->forest.node[0] = bad[i].node;
        CHECK(model_encode(m, &data, &bytes) == 0);
        refused(data, bytes, bad[i].want);
        free(data);
        m->forest.node[0] = kept;
    }
    m->forest.node[1].left = 1; /* in a circle */
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "back");
    free(data);
    m->forest.node[1].left = 3;
    m->forest.class_of[0] = 3; /* 2: of "ransomware or not" */
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "no class");
    free(data);
    model_free(m);
}

static void hostile_numbers(void)
{
    uint8_t *data;
    size_t bytes;
    struct model *m = tiny(MODEL_SVM, FEATURES_READ);
    m->svm.first[1] = 3;
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "before it begins");
    free(data);
    m->svm.first[1] = 1;
    m->svm.vector[3] = NAN;
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "no number");
    free(data);
    model_free(m);
    m = tiny(MODEL_KNN, FEATURES_PAPER);
    m->knn.label[1] = 2;
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "no class");
    /* so far off that its distance is no number */
    m->knn.label[1] = 0;
    m->knn.x[3] = 3e38f;
    free(data);
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "larger than");
    /* more rows told than there are */
    uint32_t rows = 60000, header;
    memcpy(&header, data + 12, 4);
    memcpy(data + PREAMBLE + header, &rows, 4);
    sign(data, bytes);
    refused(data, bytes, "ends before");
    free(data);
    model_free(m);
}

/* A model and, if `reads`, one for reads, around one for encrypted disks. */
static struct model *pair(bool reads)
{
    struct model *m = tiny(MODEL_GBT, FEATURES_PAPER);
    model_attach_encrypted(m, tiny(MODEL_GBT, FEATURES_PAPER));
    if (reads) model_attach_reads(m, tiny(MODEL_KNN, FEATURES_READ));
    m->encrypted->forest.node[0].threshold = -10;
    return m;
}

static void hostile_pairs(void)
{
    struct model *m = pair(false);
    uint8_t *data;
    size_t bytes;
    doctored(m, "\"memory\": 16384", "\"memory\": 16385", "'memory' of its gate is not 16384");
    doctored(m, "\"least\": 1024", "\"least\": -102", "'least' of its gate");
    doctored(m, "\"off\": 128", "\"off\": 1e9", "'off' of its gate");
    doctored(m, "\"gate\"", "\"date\"", "gate");
    doctored(m, "\"encrypted\"", "\"encryptet\"", "neither");
    doctored(m, "\"paired\"", "\"paires\"", "neither");
    CHECK(model_encode(m, &data, &bytes) == 0);
    CHECK(data[8] == 2);
    data[8] = 1; /* the preamble is not signed for */
    refused(data, bytes, "file of version 2");
    data[8] = 3;
    refused(data, bytes, "reads versions 1 and 2");
    free(data);
    strcpy(m->encrypted->class_name[1], "Ceiber");
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "other features or classes");
    free(data);
    strcpy(m->encrypted->class_name[1], "Cerber");
    model_attach_encrypted(m->encrypted, tiny(MODEL_GBT, FEATURES_PAPER)); /* what is below a part is not kept */
    model_attach_encrypted(m, tiny(MODEL_KNN, FEATURES_DEFAULT));
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "other features or classes");
    free(data);
    model_free(m);
    m = tiny(MODEL_KNN, FEATURES_READ); /* reads say nothing of writes */
    model_attach_encrypted(m, tiny(MODEL_KNN, FEATURES_READ));
    CHECK(model_encode(m, &data, &bytes) == 0);
    refused(data, bytes, "paired streams");
    free(data);
    model_free(m);
}

static void keep_pair(const char *dir)
{
    double x[FEATURES_MAX] = {0};
    for (int reads = 0; reads < 2; reads++) {
        struct model *m = pair(reads), *back;
        struct chv_err err;
        char path[300];
        snprintf(path, sizeof path, "%s/%s", dir, reads ? "three" : "pair");
        CHECK(model_part(m, true) != m && model_part(m, false) == m);
        CHECK_OK(model_save(m, path, &err), err);
        CHECK_OK(model_load(path, &back, &err), err);
        for (int part = 0; part < 2; part++) CHECK(model_score(model_part(m, part), x, NULL) == model_score(model_part(back, part), x, NULL));
        CHECK(model_score(back, x, NULL) != model_score(model_part(back, true), x, NULL));
        CHECK((model_reads_part(back) != NULL) == reads);
        model_set_decision(back, &(struct decision){3, 1, 3});
        CHECK(model_decision(model_part(back, true))->threshold == 3);
        damage(m);
        model_free(m);
        model_free(back);
    }
    struct model *alone = tiny(MODEL_GBT, FEATURES_PAPER);
    CHECK(model_part(alone, true) == alone);
    model_free(alone);
}

static void round_trips(const char *dir)
{
    static const enum feature_set sets[] = {FEATURES_PAPER, FEATURES_READ};
    for (int kind = 0; kind < MODEL_KINDS; kind++) {
        struct model *m = tiny((enum model_kind)kind, sets[kind % 2]), *back;
        struct chv_err err;
        double x[FEATURES_MAX] = {0};
        char path[300];
        if (kind == MODEL_RF) model_attach_reads(m, tiny(MODEL_KNN, FEATURES_READ));
        snprintf(path, sizeof path, "%s/%s", dir, model_kind_name((enum model_kind)kind));
        CHECK_OK(model_save(m, path, &err), err);
        CHECK_OK(model_load(path, &back, &err), err);
        CHECK(model_score(m, x, NULL) == model_score(back, x, NULL) && model_mode(back) == model_mode(m));
        CHECK((model_reads_part(back) != NULL) == (kind == MODEL_RF || sets[kind % 2] == FEATURES_READ));
        CHECK(memcmp(model_decision(back), model_decision(m), sizeof(struct decision)) == 0);
        damage(m);
        model_free(m);
        model_free(back);
    }
}

int main(int argc, char **argv)
{
    char dir[256];
    struct chv_err err;
    struct model *m;
    if (argc > 1) {
        round_trips(argv[1]);
        keep_pair(argv[1]);
        return 0;
    }
    unit_temp_dir(dir);
    round_trips(dir);
    keep_pair(dir);
    hostile_pairs();
    hostile_headers();
    hostile_trees();
    hostile_numbers();
    CHECK(model_load(dir, &m, &err) < 0 && model_load("/dev/null", &m, &err) == -EBADMSG && model_load("/no/such/file", &m, &err) == -ENOENT);
    unit_remove_tree(dir);
    return 0;
}
