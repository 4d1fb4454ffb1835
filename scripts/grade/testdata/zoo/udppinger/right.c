/* A UDP ping client as a student writes it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    int client = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    /* Connected: what comes from elsewhere is dropped, a closed port is told. */
    connect(client, (struct sockaddr *)&server, sizeof server);
    for (int number = 1; number <= 10; number++) {
        char message[100], reply[1025];
        snprintf(message, sizeof message, "Ping %d %ld", number, (long)time(NULL));
        double start = now();
        send(client, message, strlen(message), 0);
        for (;;) {
            double left = start + 1 - now();
            struct timeval wait = {(int)(left > 0 ? left : 0), (int)((left > 0 ? left - (int)left : 0) * 1e6)};
            fd_set set;
            FD_ZERO(&set);
            FD_SET(client, &set);
            if (left <= 0 || select(client + 1, &set, NULL, NULL, &wait) == 0) {
                puts("Request timed out");
                break;
            }
            ssize_t n = recv(client, reply, sizeof reply - 1, 0);
            if (n < 0) {
                printf("error: %s\n", strerror(errno));
                break;
            }
            reply[n] = 0;
            int got = 0;
            if (sscanf(reply, "%*s %d", &got) == 1 && got == number) {
                printf("%s RTT = %.6f s\n", reply, now() - start);
                break;
            }
        }
    }
    close(client);
    return 0;
}
