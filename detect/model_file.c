/* The model file, docs/model.md. Nothing of it is believed before its digest fits; a digest is no signature, so whoever wants
 * to harm us makes one that fits, and everything behind it is checked as well. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/io.h"
#include "detect/cipher.h"
#include "detect/model_impl.h"

#define MAGIC "CHVMODEL"
#define VERSION 1u
#define VERSION_PAIR 2u /* one part is for encrypted disks; what knows only the first would take it for something else */
#define HEADER_BYTES_MAX (4u << 20)
#define TEXT_BYTES_MAX 8192u

struct preamble {
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t payload_bytes;
    uint8_t sha256[32]; /* of header and payload */
};
_Static_assert(sizeof(struct preamble) == 56, "docs/model.md");

void payload_add(struct payload_out *out, const void *data, size_t bytes)
{
    if (out->failed || bytes == 0) return;
    if (bytes > out->room - out->bytes) {
        size_t room = (out->bytes + bytes) * 2;
        uint8_t *grown = realloc(out->data, room);
        if (!grown) {
            out->failed = true;
            return;
        }
        out->data = grown;
        out->room = room;
    }
    memcpy(out->data + out->bytes, data, bytes);
    out->bytes += bytes;
}

/* --- writing --- */

/* By these a program knows that it sees the same disks as encrypted as the one that learned. */
static const struct gate_number {
    const char *name;
    json_int_t value;
} gate_numbers[] = {{"memory", CIPHER_MEMORY}, {"least", CIPHER_LEAST}, {"on", CIPHER_ON}, {"off", CIPHER_OFF}};
#define GATE_NUMBERS (sizeof gate_numbers / sizeof *gate_numbers)

static json_t *gate_header(void)
{
    json_t *gate = json_object();
    for (size_t i = 0; i < GATE_NUMBERS; i++) json_object_set_new(gate, gate_numbers[i].name, json_integer(gate_numbers[i].value));
    return gate;
}

static const char *mode_name(const struct model *m, bool encrypted)
{
    return encrypted ? "encrypted" : m->mode == MODEL_READS ? "read" : "paired";
}

static json_t *part_header(const struct model *m, bool encrypted, size_t offset, size_t bytes)
{
    char digest[65];
    json_t *features = json_array(), *classes = json_array(), *mean = json_array(), *scale = json_array();
    for (size_t i = 0; i < m->columns; i++) {
        json_array_append_new(features, json_string(features_name(m->set, i)));
        json_array_append_new(mean, json_real(m->mean[i]));
        json_array_append_new(scale, json_real(m->scale[i]));
    }
    for (size_t i = 0; i < m->classes; i++)
        json_array_append_new(classes, json_pack("{s:s, s:b}", "name", m->class_name[i], "ransomware", m->ransomware[i]));
    json_t *metrics = m->metrics ? json_loads(m->metrics, 0, NULL) : json_object();
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:o, s:o}, s:{s:f, s:f, s:f}, s:{s:I, s:I, s:I, s:s}, s:s*, s:o, s:o*, s:{s:I, s:I}}",
                     "kind", model_kind_name(m->kind), "mode", mode_name(m, encrypted), "feature_set",
                     feature_set_name(m->set), "features", features, "classes", classes, "scaling", "mean", mean, "scale", scale,
                     "decision", "threshold", m->decision.threshold, "drift", m->decision.drift, "cap", m->decision.cap,
                     "training", "rows", (json_int_t)m->rows, "runs", (json_int_t)m->runs, "seed", (json_int_t)m->seed,
                     "table_sha256", hex_format(m->table_sha256, 32, digest), "command", m->command, "metrics", metrics,
                     "gate", encrypted ? gate_header() : NULL,
                     "payload", "offset", (json_int_t)offset, "bytes", (json_int_t)bytes);
}

static void encode_part(const struct model *m, bool encrypted, json_t *parts, struct payload_out *out)
{
    size_t before = out->bytes;
    switch (m->kind) {
    case MODEL_SVM: svm_encode(m, out); break;
    case MODEL_KNN: knn_encode(m, out); break;
    default: forest_encode(m, out); break;
    }
    if (!out->failed && json_array_append_new(parts, part_header(m, encrypted, before, out->bytes - before)) < 0) out->failed = true;
}

static bool digest_of(const uint8_t *data, size_t bytes, uint8_t out[32])
{
    return EVP_Digest(data, bytes, out, NULL, EVP_sha256(), NULL) == 1;
}

int model_encode(const struct model *m, uint8_t **data, size_t *bytes)
{
    struct payload_out payload = {0}, whole = {0};
    json_t *root = json_object(), *parts = json_array();
    uint32_t version = m->encrypted ? VERSION_PAIR : VERSION;
    char *header = NULL;
    encode_part(m, false, parts, &payload);
    if (m->encrypted) encode_part(m->encrypted, true, parts, &payload);
    if (m->reads) encode_part(m->reads, false, parts, &payload);
    json_object_set_new(root, "format", json_string("chronovisor model"));
    json_object_set_new(root, "version", json_integer(version));
    json_object_set_new(root, "parts", parts);
    header = json_dumps(root, JSON_REAL_PRECISION(17) | JSON_INDENT(1));
    json_decref(root);
    struct preamble p = {.version = version, .payload_bytes = payload.bytes};
    if (header && !payload.failed) {
        memcpy(p.magic, MAGIC, sizeof p.magic);
        p.header_bytes = (uint32_t)strlen(header);
        payload_add(&whole, &p, sizeof p);
        payload_add(&whole, header, p.header_bytes);
        payload_add(&whole, payload.data, payload.bytes);
        if (!whole.failed && !digest_of(whole.data + sizeof p, whole.bytes - sizeof p, p.sha256)) whole.failed = true;
        if (!whole.failed) memcpy(whole.data, &p, sizeof p);
    }
    bool good = header && !payload.failed && !whole.failed;
    free(header);
    free(payload.data);
    if (!good) {
        free(whole.data);
        return -ENOMEM;
    }
    *data = whole.data;
    *bytes = whole.bytes;
    return 0;
}

int model_save(const struct model *m, const char *path, struct chv_err *err)
{
    uint8_t *data;
    size_t bytes;
    int r = model_encode(m, &data, &bytes);
    if (r < 0) return chv_err_set(err, -r, "%s: out of memory", path);
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    r = dir ? io_replace(&io_real, dir, slash ? slash + 1 : path, data, bytes) : -ENOMEM;
    if (r < 0) chv_err_set(err, -r, "%s: cannot write the model: %s", path, strerror(-r));
    free(dir);
    free(data);
    return r;
}

/* --- reading --- */

static int copy_text(const json_t *value, char **out)
{
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) > TEXT_BYTES_MAX || strlen(text) != json_string_length(value)) return -EBADMSG;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) return -EBADMSG;
    *out = strdup(text);
    return *out ? 0 : -ENOMEM;
}

static int read_features(struct model *m, const json_t *part, struct chv_err *err)
{
    const char *set = json_string_value(json_object_get(part, "feature_set"));
    int found = set ? feature_set_find(set) : -1;
    if (found < 0) return chv_err_set(err, EBADMSG, "its feature set '%.40s' is unknown to this version", set ? set : "");
    m->set = (enum feature_set)found;
    m->columns = features_count(m->set);
    const json_t *names = json_object_get(part, "features"), *scaling = json_object_get(part, "scaling");
    const json_t *mean = json_object_get(scaling, "mean"), *scale = json_object_get(scaling, "scale");
    bool same = json_array_size(names) == m->columns && json_array_size(mean) == m->columns && json_array_size(scale) == m->columns;
    for (size_t i = 0; i < m->columns && same; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        m->mean[i] = json_number_value(json_array_get(mean, i));
        m->scale[i] = json_number_value(json_array_get(scale, i));
        same = name && strcmp(name, features_name(m->set, i)) == 0 && isfinite(m->mean[i]) && isfinite(m->scale[i]);
    }
    if (!same)
        return chv_err_set(err, EBADMSG, "its features are not those that this version computes as '%s'; train it again", set);
    return 0;
}

static int read_classes(struct model *m, const json_t *part, struct chv_err *err)
{
    const json_t *classes = json_object_get(part, "classes");
    m->classes = json_array_size(classes);
    if (m->classes < 2 || m->classes > MODEL_CLASSES_MAX)
        return chv_err_set(err, EBADMSG, "%zu classes; 2 to %d are possible", m->classes, MODEL_CLASSES_MAX);
    for (size_t i = 0; i < m->classes; i++) {
        const json_t *c = json_array_get(classes, i);
        if (copy_text(json_object_get(c, "name"), &m->class_name[i]) < 0 || !json_is_boolean(json_object_get(c, "ransomware")))
            return chv_err_set(err, EBADMSG, "class %zu has no proper name or does not say whether it is ransomware", i);
        m->ransomware[i] = json_is_true(json_object_get(c, "ransomware"));
    }
    return 0;
}

static int read_facts(struct model *m, const json_t *part, struct chv_err *err)
{
    const json_t *d = json_object_get(part, "decision"), *t = json_object_get(part, "training");
    m->decision = (struct decision){json_number_value(json_object_get(d, "threshold")), json_number_value(json_object_get(d, "drift")),
                                    json_number_value(json_object_get(d, "cap"))};
    if (!isfinite(m->decision.threshold) || !isfinite(m->decision.drift) || !isfinite(m->decision.cap) ||
        m->decision.threshold <= 0 || m->decision.cap <= 0)
        return chv_err_set(err, EBADMSG, "its decision parameters are no positive numbers");
    m->rows = (uint64_t)json_integer_value(json_object_get(t, "rows"));
    m->runs = (uint64_t)json_integer_value(json_object_get(t, "runs"));
    m->seed = (uint64_t)json_integer_value(json_object_get(t, "seed"));
    const char *digest = json_string_value(json_object_get(t, "table_sha256"));
    if (!digest || strlen(digest) != 64 || hex_parse(digest, m->table_sha256, 32) < 0)
        return chv_err_set(err, EBADMSG, "no digest of what it was trained on");
    const json_t *command = json_object_get(part, "command"), *metrics = json_object_get(part, "metrics");
    if (command && copy_text(command, &m->command) < 0) return chv_err_set(err, EBADMSG, "its command is no line of text");
    if (!json_is_object(metrics)) return chv_err_set(err, EBADMSG, "its metrics are no object");
    m->metrics = json_dumps(metrics, JSON_COMPACT | JSON_REAL_PRECISION(6));
    return m->metrics ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

static int read_gate(const json_t *part, struct chv_err *err)
{
    const json_t *gate = json_object_get(part, "gate");
    for (size_t i = 0; i < GATE_NUMBERS; i++) {
        const json_t *value = json_object_get(gate, gate_numbers[i].name);
        if (!json_is_integer(value) || json_integer_value(value) != gate_numbers[i].value)
            return chv_err_set(err, EBADMSG, "the disks that it takes for encrypted are not those that this version does ('%s' of its gate is not %lld); "
                               "train it again", gate_numbers[i].name, (long long)gate_numbers[i].value);
    }
    return 0;
}

/* *encrypted: it is for encrypted disks. */
static int read_part(const json_t *part, const uint8_t *payload, size_t bytes, bool *encrypted, struct model **out, struct chv_err *err)
{
    const char *kind = json_string_value(json_object_get(part, "kind")), *mode = json_string_value(json_object_get(part, "mode"));
    int found = kind ? model_kind_find(kind) : -1;
    if (found < 0) return chv_err_set(err, EBADMSG, "a model of kind '%.40s' is unknown to this version", kind ? kind : "");
    bool reads = mode && strcmp(mode, "read") == 0;
    *encrypted = mode && strcmp(mode, "encrypted") == 0;
    if (!reads && !*encrypted && (!mode || strcmp(mode, "paired") != 0))
        return chv_err_set(err, EBADMSG, "its mode is neither 'paired' nor 'read' nor 'encrypted'");
    if (*encrypted && read_gate(part, err) < 0) return -EBADMSG;
    const json_t *place = json_object_get(part, "payload");
    json_int_t offset = json_integer_value(json_object_get(place, "offset")), size = json_integer_value(json_object_get(place, "bytes"));
    if (!json_is_integer(json_object_get(place, "offset")) || offset < 0 || size <= 0 || (uint64_t)offset > bytes || (uint64_t)size > bytes - (uint64_t)offset)
        return chv_err_set(err, EBADMSG, "its payload lies outside the file");
    struct model *m = calloc(1, sizeof *m);
    if (!m) return chv_err_set(err, ENOMEM, "out of memory");
    m->kind = (enum model_kind)found;
    m->mode = reads ? MODEL_READS : MODEL_PAIRED;
    struct payload in = {payload + offset, (size_t)size};
    int r = read_features(m, part, err);
    if (r == 0) r = read_classes(m, part, err);
    if (r == 0) r = read_facts(m, part, err);
    if (r == 0)
        r = m->kind == MODEL_SVM ? svm_decode(m, &in, err) : m->kind == MODEL_KNN ? knn_decode(m, &in, err) : forest_decode(m, &in, err);
    if (r == 0 && in.left > 0) r = chv_err_set(err, EBADMSG, "%zu bytes too many in its payload", in.left);
    if (r < 0) {
        model_free(m);
        return r;
    }
    *out = m;
    return 0;
}

/* Both judge one stream: what the one computes, the other must be able to read, and they name the same. */
static bool are_pair(const struct model *m, const struct model *encrypted)
{
    bool same = m->set == encrypted->set && m->classes == encrypted->classes;
    for (size_t i = 0; same && i < m->classes; i++)
        same = m->ransomware[i] == encrypted->ransomware[i] && strcmp(m->class_name[i], encrypted->class_name[i]) == 0;
    return same;
}

/* Of several parts the first is for streams of writes and reads; one for encrypted disks may follow, then one for reads only. */
static int take_part(struct model *m, struct model *part, bool encrypted, struct chv_err *err)
{
    if (m->mode != MODEL_PAIRED || m->reads) return chv_err_set(err, EBADMSG, "of several models the first is for paired streams, the last for reads only");
    if (encrypted && m->encrypted) return chv_err_set(err, EBADMSG, "two of its models are for encrypted disks");
    if (encrypted && !are_pair(m, part)) return chv_err_set(err, EBADMSG, "its model for encrypted disks has other features or classes than the other");
    if (!encrypted && part->mode != MODEL_READS) return chv_err_set(err, EBADMSG, "two of its models are for paired streams");
    *(encrypted ? &m->encrypted : &m->reads) = part;
    return 0;
}

static int read_parts(const json_t *root, uint32_t version, const uint8_t *payload, size_t bytes, struct model **out, struct chv_err *err)
{
    const json_t *parts = json_object_get(root, "parts");
    size_t count = json_array_size(parts), most = version == VERSION_PAIR ? 3 : 2;
    struct model *m = NULL;
    if (count < 1 || count > most) return chv_err_set(err, EBADMSG, "%zu models in one file; 1 to %zu are possible", count, most);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct model *part = NULL;
        bool encrypted = false;
        r = read_part(json_array_get(parts, i), payload, bytes, &encrypted, &part, err);
        if (r == 0 && encrypted && (i == 0 || version != VERSION_PAIR))
            r = chv_err_set(err, EBADMSG, "a model for encrypted disks is the second of a file of version %u", VERSION_PAIR);
        if (r == 0 && i > 0) r = take_part(m, part, encrypted, err);
        if (r < 0)
            model_free(part);
        else if (i == 0)
            m = part;
    }
    if (r < 0) {
        model_free(m);
        return r;
    }
    *out = m;
    return 0;
}

int model_decode(const void *data, size_t bytes, const char *name, struct model **out, struct chv_err *err)
{
    struct preamble p;
    uint8_t digest[32];
    if (bytes < sizeof p || memcmp(data, MAGIC, 8) != 0) return chv_err_set(err, EBADMSG, "%s: this is no model file", name);
    memcpy(&p, data, sizeof p);
    if (p.version != VERSION && p.version != VERSION_PAIR)
        return chv_err_set(err, EBADMSG, "%s: a model file of version %u; this program reads versions %u and %u", name, p.version, VERSION, VERSION_PAIR);
    const uint8_t *body = (const uint8_t *)data + sizeof p;
    size_t left = bytes - sizeof p;
    if (p.header_bytes > HEADER_BYTES_MAX || p.header_bytes > left || p.payload_bytes != left - p.header_bytes)
        return chv_err_set(err, EBADMSG, "%s: %zu bytes, but its header tells of %llu: cut off, or damaged", name, bytes,
                           (unsigned long long)sizeof p + p.header_bytes + p.payload_bytes);
    if (!digest_of(body, left, digest)) return chv_err_set(err, ENOMEM, "%s: cannot compute its SHA-256", name);
    if (memcmp(digest, p.sha256, sizeof digest) != 0)
        return chv_err_set(err, EBADMSG, "%s: its SHA-256 does not fit: damaged", name);
    json_error_t fault;
    json_t *root = json_loadb((const char *)body, p.header_bytes, JSON_REJECT_DUPLICATES, &fault);
    if (!root) return chv_err_set(err, EBADMSG, "%s: its header is no JSON: line %d", name, fault.line);
    int r = read_parts(root, p.version, body + p.header_bytes, left - p.header_bytes, out, err);
    json_decref(root);
    return r < 0 ? chv_err_prefix(err, "%s", name) : 0;
}

int model_load(const char *path, struct model **out, struct chv_err *err)
{
    char *data = NULL;
    size_t bytes = 0;
    int r = io_read_file(path, MODEL_FILE_BYTES_MAX, &data, &bytes);
    if (r == -EFBIG) return chv_err_set(err, EBADMSG, "%s: no regular file of at most %u MiB: this is no model", path, MODEL_FILE_BYTES_MAX >> 20);
    if (r < 0) return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    r = model_decode(data, bytes, path, out, err);
    free(data);
    return r;
}
