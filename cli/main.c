/* chronovisor VERB …: finds the verb in the table and runs it. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"

static void usage(FILE *out)
{
    const char *group = "";
    fprintf(out, "chronovisor: a surveillance camera for a computer's disk and memory\n\n"
                 "usage: chronovisor VERB [OPTION…] [ARGUMENT…]\n");
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(group, commands[i]->group) != 0) {
            group = commands[i]->group;
            fprintf(out, "\n%s\n", group);
        }
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out, "\n'chronovisor VERB --help' says more, with an example; 'man chronovisor-VERB' all of it.\n");
}

static void verb_help(const struct cli_command *c)
{
    printf("chronovisor %s: %s\n\nusage: chronovisor %s %s\n\n", c->name, c->summary, c->name, c->synopsis);
    for (const struct cli_option *o = c->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        printf("  %-24s %s\n", left, o->help);
    }
    printf("  %-24s %s\n\nexample:\n  %s\n", "--json", "one JSON object a line", c->example);
}

/* The command tables for programs: docs/manual.py makes the man pages and the completion from it. */
static void commands_json(void)
{
    for (size_t i = 0; commands[i]; i++) {
        const struct cli_command *c = commands[i];
        const char *const fields[][2] = {{"name", c->name},       {"group", c->group},     {"synopsis", c->synopsis},
                                         {"summary", c->summary}, {"example", c->example}};
        putchar('{');
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
            printf("\"%s\": ", fields[f][0]);
            cli_json_string(stdout, fields[f][1]);
            fputs(", ", stdout);
        }
        fputs("\"options\": [", stdout);
        for (const struct cli_option *o = c->options; o->name; o++) {
            printf("%s{\"name\": ", o == c->options ? "" : ", ");
            cli_json_string(stdout, o->name);
            fputs(", \"arg\": ", stdout);
            if (o->arg)
                cli_json_string(stdout, o->arg);
            else
                fputs("null", stdout);
            fputs(", \"help\": ", stdout);
            cli_json_string(stdout, o->help);
            putchar('}');
        }
        puts("]}");
    }
}

/* An answer that could not be written is not an answer. */
static int finish(const char *verb, int code)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || code == CLI_ERROR) return code;
    fprintf(stderr, "chronovisor %s: standard output: write failed\n", verb);
    return CLI_ERROR;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        usage(stderr);
        return CLI_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return finish("--help", CLI_OK);
    }
    if (strcmp(argv[1], "--commands") == 0) {
        commands_json();
        return finish("--commands", CLI_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("chronovisor %s (log format %u)\n", CHV_VERSION, CHV_FORMAT_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0) continue;
        for (int a = 2; a < argc && strcmp(argv[a], "--") != 0; a++) {
            if (strcmp(argv[a], "--help") == 0) {
                verb_help(commands[i]);
                return CLI_OK;
            }
        }
        return finish(argv[1], commands[i]->run(argc - 1, argv + 1));
    }
    char text[128];
    snprintf(text, sizeof text, "no verb '%.40s'; 'chronovisor --help' lists them", argv[1]);
    cli_error_line("", text);
    return CLI_ERROR;
}
