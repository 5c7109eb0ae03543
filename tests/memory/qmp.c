/* QMP as bytes: lines out of pieces of any size, what is no message, what is too long; and a peer that lies. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sensor/memory/qmp.h"
#include "sensor/memory/qmp_message.h"
#include "tests/unit.h"

static void feed(struct qmp_reader *reader, const char *bytes, size_t count)
{
    size_t room;
    char *at = qmp_reader_room(reader, &room);
    CHECK(room >= count);
    memcpy(at, bytes, count);
    qmp_reader_filled(reader, count);
}

static void lines_in_pieces(void)
{
    static const char text[] = "{\"return\": {}}\r\n\n\r\n{\"event\": \"STOP\"}\nrest";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct qmp_reader reader;
        struct chv_err err;
        char *line;
        size_t bytes, lines = 0;
        CHECK_OK(qmp_reader_init(&reader, &err), err);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t n = sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece;
            feed(&reader, text + at, n);
            while (qmp_reader_next(&reader, &line, &bytes) == 1) {
                CHECK(strlen(line) == bytes);
                CHECK(strcmp(line, lines == 0 ? "{\"return\": {}}" : "{\"event\": \"STOP\"}") == 0);
                lines++;
            }
        }
        CHECK(lines == 2);
        qmp_reader_fini(&reader);
    }
}

static void line_without_end(void)
{
    struct qmp_reader reader;
    struct chv_err err;
    char *line;
    size_t bytes, room, sum = 0;
    CHECK_OK(qmp_reader_init(&reader, &err), err);
    for (;;) {
        int r = qmp_reader_next(&reader, &line, &bytes);
        if (r == -EMSGSIZE) break;
        CHECK(r == 0);
        char *at = qmp_reader_room(&reader, &room);
        CHECK(room > 0);
        size_t n = room < 10007 ? room : 10007;
        memset(at, 'x', n);
        qmp_reader_filled(&reader, n);
        sum += n;
    }
    CHECK(sum == QMP_LINE_MAX);
    qmp_reader_fini(&reader);
}

static void expect(const char *line, int kind, json_int_t id, const char *text)
{
    struct qmp_message m;
    struct chv_err err = {.text = ""};
    int r = qmp_message_parse(line, strlen(line), &m, &err);
    if (kind < 0) {
        CHECK(r == -EPROTO && err.text[0] && !m.value);
        return;
    }
    CHECK_OK(r, err);
    CHECK((int)m.kind == kind && m.id == id && m.value);
    if (text) CHECK(strcmp(m.text, text) == 0);
    qmp_message_fini(&m);
}

static void messages(void)
{
    expect("{\"return\": {}, \"id\": 7}", QMP_RETURN, 7, NULL);
    expect("{\"return\": \"text\"}", QMP_RETURN, 0, NULL);
    expect("{\"return\": null, \"id\": \"x\"}", QMP_RETURN, 0, NULL);
    expect("{\"error\": {\"class\": \"GenericError\", \"desc\": \"a\\nb\\u001b[2J\"}, \"id\": 3}", QMP_ERROR, 3, "GenericError: a b [2J");
    expect("{\"error\": {}}", QMP_ERROR, 0, "");
    expect("{\"event\": \"STOP\", \"timestamp\": {}}", QMP_EVENT, 0, "STOP");
    expect("{\"QMP\": {\"version\": {}, \"capabilities\": []}}", QMP_GREETING, 0, NULL);
    expect("{\"QMP\": {}}", QMP_GREETING, 0, NULL);
    static const char *const bad[] = {"", "{", "[]", "1", "{\"return\": }", "{}", "{\"event\": 1}", "{\"error\": 1}", "{\"QMP\": 1}",
                                      "{\"return\": 1, \"return\": 2}", "{\"return\": 1} x", "{\"return\": \"\xff\"}",
                                      "{\"return\": 99999999999999999999}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) expect(bad[i], -1, 0, NULL);
    enum { DEEP = 200000 };
    char *deep = malloc(DEEP + 16);
    CHECK(deep);
    strcpy(deep, "{\"return\":");
    memset(deep + 10, '[', DEEP);
    deep[DEEP + 10] = 0;
    expect(deep, -1, 0, NULL);
    free(deep);
}

/* A server that says one thing after another, whatever it is asked, and hangs up. */
static void *liar(void *arg)
{
    const void *const *a = arg;
    int listener = *(const int *)a[0];
    const char *text = a[1];
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) perror("send");
    shutdown(fd, SHUT_WR);
    char waste[4096];
    while (recv(fd, waste, sizeof waste, 0) > 0) {}
    close(fd);
    return NULL;
}

static int connect_to_liar(const char *text, struct qmp **qmp, struct chv_err *err)
{
    char dir[256], *result = NULL;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unit_temp_dir(dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/q", dir);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    const void *arg[] = {&listener, text};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, liar, arg) == 0);
    int r = qmp_connect(address.sun_path, qmp, err);
    if (r == 0) {
        CHECK(qmp_peer(*qmp) == getpid());
        r = qmp_human(*qmp, "info mtree -f", &result, err);
        if (r == 0) CHECK(strcmp(result, "yes") == 0);
        free(result);
        qmp_close(*qmp);
    }
    pthread_join(thread, NULL);
    close(listener);
    unit_remove_tree(dir);
    return r;
}

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 1}}}}\n"

static void peers(void)
{
    struct qmp *qmp;
    struct chv_err err;
    CHECK_OK(connect_to_liar(GREETING "{\"return\": {}, \"id\": 1}\n{\"event\": \"X\"}\n{\"return\": 5, \"id\": 77}\n"
                             "{\"return\": \"yes\", \"id\": 2}\n", &qmp, &err), err);
    CHECK(connect_to_liar("", &qmp, &err) == -EPIPE);
    CHECK(connect_to_liar("SSH-2.0-x\n", &qmp, &err) == -EPROTO);
    CHECK(connect_to_liar("{\"return\": {}}\n", &qmp, &err) == -EPROTO);
    CHECK(connect_to_liar(GREETING, &qmp, &err) == -EPIPE);
    CHECK(connect_to_liar(GREETING "{\"error\": {\"desc\": \"no\"}, \"id\": 1}\n", &qmp, &err) == -EIO && strstr(err.text, "no"));
    CHECK(connect_to_liar(GREETING "{\"return\": {}, \"id\": 1}\n{\"return\": [], \"id\": 2}\n", &qmp, &err) == -EPROTO);
    char path[200];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    CHECK(qmp_connect(path, &qmp, &err) == -ENAMETOOLONG);
    CHECK(qmp_connect("/nonexistent/socket", &qmp, &err) == -ENOENT);
}

int main(void)
{
    lines_in_pieces();
    line_without_end();
    messages();
    peers();
    return 0;
}
