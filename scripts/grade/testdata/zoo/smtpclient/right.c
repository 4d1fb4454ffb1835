/* A mail client as a student writes it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int sock;
static FILE *in;

static void say(const char *text) {
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t sent = write(sock, text, n);
        if (sent <= 0)
            exit(1);
        text += sent;
        n -= sent;
    }
}

static void expect(const char *code) {
    char line[1000];
    do {
        if (!fgets(line, sizeof line, in)) {
            puts("the server has closed the connection");
            exit(1);
        }
        fputs(line, stdout);
    } while (strlen(line) > 3 && line[3] == '-');
    if (strncmp(line, code, 3) != 0) {
        printf("%s reply not received from server.\n", code);
        say("QUIT\r\n");
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc < 7)
        return 2;
    sock = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    if (connect(sock, (struct sockaddr *)&server, sizeof server) != 0) {
        perror("connect");
        return 1;
    }
    in = fdopen(sock, "r");
    char line[2000], date[100];
    expect("220");
    say("HELO client.example\r\n");
    expect("250");
    snprintf(line, sizeof line, "MAIL FROM:<%s>\r\n", argv[3]);
    say(line);
    expect("250");
    snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", argv[4]);
    say(line);
    expect("250");
    say("DATA\r\n");
    expect("354");
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", gmtime(&now));
    snprintf(line, sizeof line, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\n\r\n", argv[3], argv[4], argv[5], date);
    say(line);
    FILE *body = fopen(argv[6], "r");
    while (body && fgets(line, sizeof line - 2, body)) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0] == '.')
            say(".");
        say(line);
        say("\r\n");
    }
    say(".\r\n");
    expect("250");
    say("QUIT\r\n");
    expect("221");
    close(sock);
    return 0;
}
