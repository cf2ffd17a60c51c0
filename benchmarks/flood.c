/* A flood of INVITEs or REGISTERs over UDP, for benchmarks/flood.py. To loopback addresses alone, and for a minute at the most.
 *
 *   flood HOST PORT NETWORK SOURCES RATE SECONDS URI METHOD
 *
 * NETWORK is the first two octets of the sources ("127.61"): source N is NETWORK.(N / 250).(N % 250 + 1). What comes back
 * is read and thrown away. Prints how many were sent, how many bytes, how many answers, and the answers' bytes.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **words)
{
    if (count != 9)
        return 2;
    const char *host = words[1], *network = words[3], *uri = words[7], *method = words[8];
    int port = atoi(words[2]), sources = atoi(words[4]), *sockets = calloc(sources, sizeof(int));
    double rate = atof(words[5]), seconds = atof(words[6]);
    struct sockaddr_in engine = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &engine.sin_addr) != 1 || strncmp(host, "127.", 4) || strncmp(network, "127.", 4) ||
        seconds > 60 || sources < 1 || sources > 10000 || !sockets)
        return 2;
    for (int index = 0; index < sources; index++) {
        char text[64];
        struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(5060)};
        snprintf(text, sizeof text, "%s.%d.%d", network, index / 250, index % 250 + 1);
        if (inet_pton(AF_INET, text, &own.sin_addr) != 1 ||
            (sockets[index] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) < 0 ||
            bind(sockets[index], (struct sockaddr *)&own, sizeof own) < 0) {
            perror(text);
            return 1;
        }
    }
    unsigned long sent = 0, bytes = 0, answers = 0, answered = 0;
    int looked = 0;
    char message[2048], reply[65536];
    double begun = now(), passed;
    while ((passed = now() - begun) < seconds) {
        while (sent < passed * rate) {
            int index = sent % sources;
            int length = snprintf(
                message, sizeof message,
                "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s.%d.%d:5060;branch=z9hG4bKf%lu\r\nMax-Forwards: 70\r\n"
                "From: <sip:flood@%s.%d.%d>;tag=f%lu\r\nTo: <%s>\r\nCall-ID: flood-%lu\r\nCSeq: 1 %s\r\n"
                "Contact: <sip:flood@%s.%d.%d:5060>\r\nContent-Length: 0\r\n\r\n",
                method, uri, network, index / 250, index % 250 + 1, sent, network, index / 250, index % 250 + 1, sent, uri,
                sent, method, network, index / 250, index % 250 + 1);
            if (sendto(sockets[index], message, length, 0, (struct sockaddr *)&engine, sizeof engine) == length)
                bytes += length;
            sent++;
        }
        for (int turn = 0; turn < sources && turn < 64; turn++, looked = (looked + 1) % sources) {
            ssize_t length;
            while ((length = recv(sockets[looked], reply, sizeof reply, 0)) > 0) {
                answers++;
                answered += length;
            }
        }
        usleep(500);
    }
    printf("%lu %lu %lu %lu\n", sent, bytes, answers, answered);
    return 0;
}
