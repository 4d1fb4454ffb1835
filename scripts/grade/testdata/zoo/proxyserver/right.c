/* A caching web proxy as a student writes it: one client at a time, cache in memory. */
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct entry {
    char url[2100];
    char *data;
    size_t size;
};

static struct entry cache[200];
static int entries;

static void send_all(int conn, const char *data, size_t n) {
    while (n > 0) {
        ssize_t sent = write(conn, data, n);
        if (sent <= 0)
            return;
        data += sent;
        n -= sent;
    }
}

static void error(int conn, const char *status) {
    char text[300];
    int n = snprintf(text, sizeof text, "HTTP/1.0 %s\r\nContent-Type: text/html\r\n\r\n<h1>%s</h1>\n", status, status);
    send_all(conn, text, n);
}

static int connect_to(const char *host) {
    char name[256];
    snprintf(name, sizeof name, "%s", host);
    const char *port = "80";
    char *colon = strchr(name, ':');
    if (colon) {
        *colon = 0;
        port = colon + 1;
    }
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(name, port, &hints, &list) != 0)
        return -1;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval wait = {8, 0};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(s, list->ai_addr, list->ai_addrlen) != 0) {
        close(s);
        s = -1;
    }
    freeaddrinfo(list);
    return s;
}

static void handle(int conn) {
    char request[8192], method[16], target[2048], host[256], url[2100];
    size_t have = 0;
    request[0] = 0;
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t n = read(conn, request + have, sizeof request - 1 - have);
        if (n <= 0)
            return;
        have += n;
        request[have] = 0;
    }
    if (sscanf(request, "%15s %2047s", method, target) != 2 || strcmp(method, "GET") != 0) {
        error(conn, "501 Not Implemented");
        return;
    }
    char *rest = target;
    if (strncmp(rest, "http://", 7) == 0)
        rest += 7;
    else if (*rest == '/')
        rest++;
    size_t n = strcspn(rest, "/");
    if (n == 0 || n >= sizeof host) {
        error(conn, "400 Bad Request");
        return;
    }
    memcpy(host, rest, n);
    host[n] = 0;
    const char *path = rest[n] ? rest + n : "/";
    snprintf(url, sizeof url, "%s%s", host, path);
    for (int i = 0; i < entries; i++)
        if (strcmp(cache[i].url, url) == 0) {
            send_all(conn, cache[i].data, cache[i].size);
            return;
        }
    int origin = connect_to(host);
    if (origin < 0) {
        error(conn, "502 Bad Gateway");
        return;
    }
    char head[3000];
    snprintf(head, sizeof head, "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
    send_all(origin, head, strlen(head));
    size_t size = 0, room = 65536;
    char *data = malloc(room);
    for (;;) {
        if (size == room)
            data = realloc(data, room *= 2);
        ssize_t got = read(origin, data + size, room - size);
        if (got <= 0)
            break;
        size += got;
    }
    close(origin);
    send_all(conn, data, size);
    if (entries < 200 && size > 12 && strncmp(data + 9, "200", 3) == 0) {
        snprintf(cache[entries].url, sizeof cache[entries].url, "%s", url);
        cache[entries].data = data;
        cache[entries++].size = size;
    } else {
        free(data);
    }
}

int main(int argc, char **argv) {
    int port = argc == 2 ? atoi(argv[1]) : 0;
    if (port <= 0 || port > 65535) {
        puts("Usage: proxy PORT");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = INADDR_ANY};
    if (bind(server, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(server, 5) != 0) {
        perror("listen");
        return 1;
    }
    puts("Ready to serve...");
    for (;;) {
        int conn = accept(server, NULL, NULL);
        if (conn < 0)
            continue;
        struct timeval wait = {10, 0};
        setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        handle(conn);
        close(conn);
    }
}
