#include "cli/yara_rules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yara.h>

struct complaint {
    char text[300];
};

static void on_error(int level, const char *file, int line, const YR_RULE *rule, const char *message, void *arg)
{
    struct complaint *c = arg;
    (void)file, (void)rule;
    if (level == YARA_ERROR_LEVEL_ERROR && !c->text[0]) snprintf(c->text, sizeof c->text, "line %d: %.250s", line, message);
}

int yara_rules_load(const char *what, const char *path, struct YR_RULES **rules, struct chv_err *err)
{
    struct stat st;
    struct complaint complaint = {{0}};
    YR_COMPILER *compiler = NULL;
    if (stat(path, &st) < 0) return chv_err_set(err, errno, "%s%s: %s", what, path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size > YARA_RULES_BYTES_MAX)
        return chv_err_set(err, EINVAL, "%s%s: no regular file of at most %u MiB", what, path, YARA_RULES_BYTES_MAX >> 20);
    FILE *in = fopen(path, "re");
    if (!in) return chv_err_set(err, errno, "%s%s: %s", what, path, strerror(errno));
    int r = 0;
    if (yr_compiler_create(&compiler) != ERROR_SUCCESS) {
        r = chv_err_set(err, ENOMEM, "out of memory");
    } else {
        yr_compiler_set_callback(compiler, on_error, &complaint);
        yr_compiler_set_include_callback(compiler, NULL, NULL, NULL); /* rules from outside name no files of ours */
        if (yr_compiler_add_file(compiler, in, NULL, path) != 0)
            r = chv_err_set(err, EINVAL, "%s%.100s: %s", what, path, complaint.text[0] ? complaint.text : "not usable");
        else if (yr_compiler_get_rules(compiler, rules) != ERROR_SUCCESS)
            r = chv_err_set(err, ENOMEM, "%s%s: out of memory", what, path);
        yr_compiler_destroy(compiler);
    }
    fclose(in);
    return r;
}
