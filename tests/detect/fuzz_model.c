/* Any bytes as a model file, as they are and with a digest that fits: a model that scores, or one line why not. */
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "detect/model_impl.h"

enum { PREAMBLE = 56 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct model *m)
{
    double x[FEATURES_MAX], p[MODEL_CLASSES_MAX], why[FEATURES_MAX];
    for (size_t i = 0; i < FEATURES_MAX; i++) x[i] = (double)i - 3;
    double score = model_score(m, x, p);
    if (!(score >= 0 && score <= 1)) {
        /* vectors and coefficients may be any numbers, and so may what comes of them; trees and neighbours may not */
        if (m->kind != MODEL_SVM) abort();
    }
    if (m->kind != MODEL_KNN || m->knn.rows < 100) model_explain(m, x, why);
    if (m->reads) use(m->reads);
    if (m->encrypted) use(m->encrypted);
}

static void try_it(const uint8_t *data, size_t size)
{
    struct chv_err err = {0};
    struct model *m = NULL;
    int r = model_decode(data, size, "fuzz", &m, &err);
    if (r < 0) {
        if (strncmp(err.text, "fuzz: ", 6) != 0 || strchr(err.text, '\n')) abort();
        return;
    }
    use(m);
    model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_it(data, size);
    if (size <= PREAMBLE) return 0;
    uint8_t *copy = malloc(size);
    if (!copy) return 0;
    memcpy(copy, data, size);
    uint32_t header;
    memcpy(&header, copy + 12, sizeof header);
    uint64_t payload = header <= size - PREAMBLE ? size - PREAMBLE - header : 0;
    memcpy(copy + 16, &payload, sizeof payload);
    if (EVP_Digest(copy + PREAMBLE, size - PREAMBLE, copy + 24, NULL, EVP_sha256(), NULL) == 1) try_it(copy, size);
    free(copy);
    return 0;
}
