/* A UDP ping server as a student writes it. */
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    srand(time(NULL) ^ getpid());
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = INADDR_ANY};
    if (bind(server, (struct sockaddr *)&addr, sizeof addr) != 0) {
        perror("bind");
        return 1;
    }
    for (;;) {
        unsigned char message[2048];
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(server, message, sizeof message, 0, (struct sockaddr *)&from, &len);
        if (n < 0)
            continue;
        int draw = rand() % 11;
        if (draw < 4)
            continue;
        for (ssize_t i = 0; i < n; i++)
            if (message[i] < 128)
                message[i] = toupper(message[i]);
        sendto(server, message, n, 0, (struct sockaddr *)&from, len);
    }
}
