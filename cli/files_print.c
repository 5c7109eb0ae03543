/* Entries as a table, as JSON, as a body file and as DFXML. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/files_at.h"

/* Length of the valid UTF-8 sequence at p, 0 where there is none. */
static size_t utf8_at(const unsigned char *p)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))) return 0;
    if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))) return 0;
    return n;
}

/* May this sequence of n bytes go to a terminal? */
static bool is_plain(const unsigned char *p, size_t n)
{
    return n > 0 && *p >= 0x20 && *p != 0x7f && !(n == 2 && p[0] == 0xc2 && p[1] < 0xa0); /* C0 and C1 controls */
}

void files_print_text(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t n = utf8_at(p);
        if (is_plain(p, n))
            fwrite(p, 1, n, out);
        else
            fputc('?', out);
        p += n ? n : 1;
    }
}

const char *files_plain_text(const char *text, char *buf, size_t bytes)
{
    size_t used = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t n = utf8_at(p);
        bool plain = is_plain(p, n);
        if (used + (plain ? n : 1) >= bytes) break;
        if (plain) {
            memcpy(buf + used, p, n);
            used += n;
        } else {
            buf[used++] = '?';
        }
        p += n ? n : 1;
    }
    buf[used] = 0;
    return buf;
}

const char *files_time(const struct files_entry *e, int which, char buf[FILES_TIME_BYTES])
{
    time_t t = (time_t)e->seconds[which];
    struct tm tm;
    if (t == 0 || e->seconds[which] < -62135596800 || e->seconds[which] > 253402300799 || !gmtime_r(&t, &tm)) return "-";
    size_t n = strftime(buf, FILES_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    if (e->nanoseconds[which] > 0)
        snprintf(buf + n, FILES_TIME_BYTES - n, ".%09uZ", e->nanoseconds[which]);
    else
        snprintf(buf + n, FILES_TIME_BYTES - n, "Z");
    return buf;
}

const char *files_mode(const struct files_entry *e, char buf[FILES_MODE_BYTES])
{
    memcpy(buf, "----------", FILES_MODE_BYTES);
    if (!(e->flags & FILES_HAS_META)) return buf;
    buf[0] = e->type;
    static const char letters[] = "rwxrwxrwx";
    for (unsigned i = 0; i < 9; i++)
        if (e->mode & (0400u >> i)) buf[1 + i] = letters[i];
    if (e->mode & 04000) buf[3] = buf[3] == 'x' ? 's' : 'S';
    if (e->mode & 02000) buf[6] = buf[6] == 'x' ? 's' : 'S';
    if (e->mode & 01000) buf[9] = buf[9] == 'x' ? 't' : 'T';
    return buf;
}

const char *files_inode(const struct files_entry *e, char buf[FILES_INODE_BYTES])
{
    if (e->flags & FILES_HAS_ATTR)
        snprintf(buf, FILES_INODE_BYTES, "%" PRIu64 "-%u-%u", e->inode, e->attr_type, e->attr_id);
    else
        snprintf(buf, FILES_INODE_BYTES, "%" PRIu64, e->inode);
    return buf;
}

/* The name was deleted, and what it points to is another file now. */
static bool reallocated(const struct files_entry *e)
{
    return e->flags & FILES_NAME_DELETED && e->flags & FILES_HAS_META && !(e->flags & FILES_META_DELETED);
}

void files_print_ls(FILE *out, const struct files_entry *e, bool full_path)
{
    char mode[FILES_MODE_BYTES], time[FILES_TIME_BYTES], inode[FILES_INODE_BYTES];
    const char *t = files_time(e, FILES_M, time);
    const char *slash = strrchr(e->path, '/');
    files_mode(e, mode);
    if (mode[0] == 'r') mode[0] = '-'; /* as ls has it; TSK and fls say r */
    fprintf(out, "%s %5u %5u %12" PRIu64 " %.19s%*s %10s  ", mode, e->uid, e->gid, e->size_bytes, t,
            strlen(t) < 19 ? 19 - (int)strlen(t) : 0, "", files_inode(e, inode));
    files_print_text(out, full_path || !slash || !slash[1] ? e->path : slash + 1);
    if (e->link) {
        fputs(" -> ", out);
        files_print_text(out, e->link);
    }
    if (reallocated(e))
        fputs(" (deleted, inode in use again)", out);
    else if (e->flags & (FILES_NAME_DELETED | FILES_META_DELETED))
        fputs(" (deleted)", out);
    fputc('\n', out);
}

static void json_time(FILE *out, const char *name, const struct files_entry *e, int which)
{
    char buf[FILES_TIME_BYTES];
    const char *t = files_time(e, which, buf);
    if (t[0] != '-') fprintf(out, ", \"%s\": \"%s\"", name, t);
}

void files_print_json(FILE *out, const struct files_entry *e)
{
    char inode[FILES_INODE_BYTES];
    fputs("{\"path\": ", out);
    cli_json_string(out, e->path);
    fprintf(out, ", \"inode\": \"%s\", \"type\": \"%c\"", files_inode(e, inode),
            e->type != '-' || e->flags & FILES_HAS_META ? e->type : e->name_type);
    if (e->flags & FILES_HAS_META) {
        fprintf(out, ", \"size\": %" PRIu64 ", \"mode\": \"%04o\", \"uid\": %u, \"gid\": %u, \"links\": %u", e->size_bytes,
                e->mode, e->uid, e->gid, e->links);
        json_time(out, "mtime", e, FILES_M);
        json_time(out, "atime", e, FILES_A);
        json_time(out, "ctime", e, FILES_C);
        json_time(out, "crtime", e, FILES_B);
    }
    if (e->link) {
        fputs(", \"target\": ", out);
        cli_json_string(out, e->link);
    }
    fprintf(out, ", \"deleted\": %s", e->flags & (FILES_NAME_DELETED | FILES_META_DELETED) ? "true" : "false");
    if (reallocated(e)) fputs(", \"reallocated\": true", out);
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {{FILES_STREAM, "stream"},       {FILES_COMPRESSED, "compressed"}, {FILES_ENCRYPTED, "encrypted"},
                 {FILES_RESIDENT, "resident"},   {FILES_REUSED, "reused"},         {FILES_INCOMPLETE, "incomplete"},
                 {FILES_RUNS_CUT, "extents_cut"}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (e->flags & flags[i].flag) fprintf(out, ", \"%s\": true", flags[i].name);
    if (e->run_count > 0) {
        fputs(", \"extents\": [", out);
        for (size_t i = 0; i < e->run_count; i++) {
            const struct files_run *r = &e->runs[i];
            fprintf(out, "%s{\"offset\": %" PRIu64 ", \"bytes\": %" PRIu64, i ? ", " : "", r->offset_bytes, r->bytes);
            if (r->sparse)
                fputs(", \"sparse\": true}", out);
            else
                fprintf(out, ", \"lba\": %" PRIu64 ", \"sectors\": %" PRIu64 "}", r->lba, r->bytes / 512);
        }
        fputc(']', out);
    }
    fputc('}', out);
}

/* '|' ends a field and a newline a line, so neither may come from a name. */
static void body_text(FILE *out, const char *text)
{
    for (; *text; text++) fputc((unsigned char)*text < 0x20 || *text == 0x7f || *text == '|' ? '^' : *text, out);
}

void files_print_body(FILE *out, const struct files_entry *e)
{
    char inode[FILES_INODE_BYTES], mode[FILES_MODE_BYTES];
    fputs("0|", out);
    body_text(out, e->path);
    if (e->flags & FILES_FILE_NAME) fputs(" ($FILE_NAME)", out);
    if (e->link) {
        fputs(" -> ", out);
        body_text(out, e->link);
    }
    if (e->flags & FILES_NAME_DELETED) fputs(reallocated(e) ? " (deleted-realloc)" : " (deleted)", out);
    fprintf(out, "|%s|%c/%s|%u|%u|%" PRIu64 "|%" PRId64 "|%" PRId64 "|%" PRId64 "|%" PRId64 "\n", files_inode(e, inode), e->name_type,
            files_mode(e, mode), e->uid, e->gid, e->size_bytes, e->seconds[FILES_A], e->seconds[FILES_M], e->seconds[FILES_C],
            e->seconds[FILES_B]);
}

/* XML 1.0 cannot hold control characters at all, nor broken UTF-8. */
static void xml_text(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t n = utf8_at(p);
        bool noncharacter = n == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe;
        if (*p == '<')
            fputs("&lt;", out);
        else if (*p == '>')
            fputs("&gt;", out);
        else if (*p == '&')
            fputs("&amp;", out);
        else if (*p == '"')
            fputs("&quot;", out);
        else if (n == 0 || *p < 0x20 || *p == 0x7f || noncharacter)
            fputs("\xef\xbf\xbd", out);
        else
            fwrite(p, 1, n, out);
        p += n ? n : 1;
    }
}

void files_print_dfxml_head(FILE *out, const struct files_at *at, const char *command)
{
    const struct files_info *i = files_fs_info(at->fs);
    fputs("<?xml version='1.0' encoding='UTF-8'?>\n"
          "<dfxml version='1.0' xmlns='http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML'"
          " xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>\n"
          "  <metadata><dc:type>Disk Image</dc:type></metadata>\n", out);
    fprintf(out, "  <creator version='1.0'>\n    <program>chronovisor</program>\n    <version>%s</version>\n"
                 "    <execution_environment><command_line>", CHV_VERSION);
    xml_text(out, command);
    fputs("</command_line></execution_environment>\n  </creator>\n  <source>\n    <image_filename>", out);
    xml_text(out, at->space->name);
    fprintf(out, "@seq:%" PRIu64 "</image_filename>\n    <image_size>%" PRIu64 "</image_size>\n  </source>\n", at->seq,
            at->space->size_bytes);
    fprintf(out, "  <volume offset='%" PRIu64 "'>\n    <partition_offset>%" PRIu64 "</partition_offset>\n"
                 "    <block_size>%u</block_size>\n    <ftype_str>%s</ftype_str>\n", i->offset_bytes, i->offset_bytes, i->block_bytes,
            i->type);
}

void files_print_dfxml(FILE *out, const struct files_entry *e, const struct files_info *info)
{
    /* The numbers of The Sleuth Kit's TSK_FS_META_TYPE_ENUM, which fiwalk writes. */
    static const char meta_types[] = "-rdpcblshwvV";
    static const char *const times[FILES_TIMES] = {"mtime", "atime", "ctime", "crtime"};
    static const int order[FILES_TIMES] = {FILES_M, FILES_C, FILES_A, FILES_B};
    char time[FILES_TIME_BYTES];
    const char *type = e->type != '-' ? strchr(meta_types, e->type) : NULL;
    fputs("    <fileobject>\n      <filename>", out);
    xml_text(out, e->path[0] == '/' ? e->path + 1 : e->path);
    fprintf(out, "</filename>\n      <partition>%u</partition>\n      <name_type>%c</name_type>\n", info->partition ? info->partition : 1,
            e->name_type);
    if (e->flags & FILES_HAS_META) fprintf(out, "      <filesize>%" PRIu64 "</filesize>\n", e->size_bytes);
    fprintf(out, "      <alloc_inode>%d</alloc_inode>\n      <alloc_name>%d</alloc_name>\n",
            e->flags & FILES_HAS_META && !(e->flags & FILES_META_DELETED), !(e->flags & FILES_NAME_DELETED));
    if (e->flags & FILES_COMPRESSED) fputs("      <compressed>1</compressed>\n", out);
    fprintf(out, "      <inode>%" PRIu64 "</inode>\n", e->inode);
    if (e->flags & FILES_HAS_META) {
        fprintf(out, "      <meta_type>%d</meta_type>\n      <mode>%u</mode>\n      <nlink>%u</nlink>\n      <uid>%u</uid>\n"
                     "      <gid>%u</gid>\n", type ? (int)(type - meta_types) : 0, e->mode, e->links, e->uid, e->gid);
        for (int i = 0; i < FILES_TIMES; i++) {
            const char *t = files_time(e, order[i], time);
            if (t[0] != '-') fprintf(out, "      <%s>%s</%s>\n", times[order[i]], t, times[order[i]]);
        }
        if (e->link) {
            fputs("      <link_target>", out);
            xml_text(out, e->link);
            fputs("</link_target>\n", out);
        }
    }
    uint64_t left = e->size_bytes;
    if (e->run_count > 0) fputs("      <byte_runs>\n", out);
    for (size_t i = 0; i < e->run_count && left > 0; i++) {
        const struct files_run *r = &e->runs[i];
        uint64_t n = r->bytes < left ? r->bytes : left; /* without the slack of the last block */
        left -= n;
        fprintf(out, "        <byte_run file_offset='%" PRIu64 "' ", r->offset_bytes);
        if (r->sparse)
            fprintf(out, "fill='0' len='%" PRIu64 "'/>\n", n);
        else
            fprintf(out, "fs_offset='%" PRIu64 "' img_offset='%" PRIu64 "' len='%" PRIu64 "'/>\n", r->lba * 512 - info->offset_bytes,
                    r->lba * 512, n);
    }
    if (e->run_count > 0) fputs("      </byte_runs>\n", out);
    fputs("    </fileobject>\n", out);
}

void files_print_dfxml_tail(FILE *out)
{
    fputs("  </volume>\n</dfxml>\n", out);
}
