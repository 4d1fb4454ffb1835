/* A web server as a student writes it: one request at a time. */
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void send_all(int conn, const char *data, size_t n) {
    while (n > 0) {
        ssize_t sent = write(conn, data, n);
        if (sent <= 0)
            return;
        data += sent;
        n -= sent;
    }
}

static void respond(int conn, const char *status, const char *kind, const char *body, size_t n) {
    char head[300];
    int len = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, kind, n);
    send_all(conn, head, len);
    send_all(conn, body, n);
}

static void not_found(int conn) {
    const char *page = "<h1>404 Not Found</h1>\n";
    respond(conn, "404 Not Found", "text/html", page, strlen(page));
}

static const char *kind_of(const char *name) {
    const char *dot = strrchr(name, '.');
    if (dot && strcmp(dot, ".html") == 0)
        return "text/html";
    if (dot && strcmp(dot, ".png") == 0)
        return "image/png";
    if (dot && strcmp(dot, ".jpg") == 0)
        return "image/jpeg";
    return "application/octet-stream";
}

static void unescape(char *s) {
    char *to = s;
    for (; *s; s++) {
        unsigned c;
        if (s[0] == '%' && sscanf(s + 1, "%2x", &c) == 1 && c != 0 && s[1] && s[2]) {
            *to++ = (char)c;
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = 0;
}

static void handle(int conn, const char *root) {
    char request[8192], method[16], path[4096], name[8192], real[PATH_MAX];
    size_t have = 0;
    request[0] = 0;
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t n = read(conn, request + have, sizeof request - 1 - have);
        if (n <= 0)
            return;
        /* A zero byte would hide what follows it. */
        for (ssize_t i = 0; i < n; i++)
            if (request[have + i] == 0)
                request[have + i] = '?';
        have += n;
        request[have] = 0;
    }
    if (sscanf(request, "%15s %4095s", method, path) != 2 || path[0] != '/') {
        const char *page = "<h1>400 Bad Request</h1>\n";
        respond(conn, "400 Bad Request", "text/html", page, strlen(page));
        return;
    }
    path[strcspn(path, "?")] = 0;
    unescape(path);
    snprintf(name, sizeof name, "%s/%s", root, path);
    struct stat st;
    size_t n = strlen(root);
    if (!realpath(name, real) || strncmp(real, root, n) != 0 || real[n] != '/' || stat(real, &st) != 0 || !S_ISREG(st.st_mode)) {
        not_found(conn);
        return;
    }
    FILE *f = fopen(real, "rb");
    if (!f) {
        not_found(conn);
        return;
    }
    char *body = malloc(st.st_size + 1);
    size_t got = fread(body, 1, st.st_size, f);
    fclose(f);
    respond(conn, "200 OK", kind_of(real), body, got);
    free(body);
}

int main(int argc, char **argv) {
    char root[PATH_MAX];
    if (argc < 2 || !realpath(".", root))
        return 2;
    signal(SIGPIPE, SIG_IGN);
    int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = INADDR_ANY};
    if (bind(server, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(server, 5) != 0) {
        perror("listen");
        return 1;
    }
    puts("Ready to serve...");
    for (;;) {
        int conn = accept(server, NULL, NULL);
        if (conn < 0)
            continue;
        handle(conn, root);
        close(conn);
    }
}
