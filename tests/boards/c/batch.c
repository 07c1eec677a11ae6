/* Drives a batched design at a terminal: batch by batch, raw features in, the words of all streams
 * out. Reads for each stream whether it is there, whether it begins, and features, 16 hexadecimal
 * digits each. */
#define _XOPEN_SOURCE 600
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model.h"
#include "posix_serial.h"
#include "sparseflow.h"

enum { FEATURES = SPARSEFLOW_MODEL_FEATURES, PACKET = 1 + SPARSEFLOW_MODEL_FRAME_WORDS };

static double features[STREAMS][FEATURES];
static uint32_t words[STREAMS * PACKET], out[STREAMS * SPARSEFLOW_MODEL_OUT_WORDS];

static void write_all(void *context, const uint8_t *bytes, size_t count)
{
    struct pollfd wait = {.fd = *(int *)context, .events = POLLOUT};
    while (count) {
        ssize_t sent = write(wait.fd, bytes, count);
        if (sent <= 0 && poll(&wait, 1, 20000) < 1)
            return;
        bytes += sent > 0 ? sent : 0;
        count -= sent > 0 ? (size_t)sent : 0;
    }
}

static int read_one(void *context)
{
    struct pollfd wait = {.fd = *(int *)context, .events = POLLIN};
    uint8_t byte;
    return poll(&wait, 1, 20000) == 1 && read(wait.fd, &byte, 1) == 1 ? byte : -1;
}

/* The next batch: 1, or 0 at the end. */
static int next(const double **raw, uint8_t *first)
{
    for (int stream = 0; stream < STREAMS; stream++) {
        int there, begins;
        if (scanf("%d %d", &there, &begins) != 2)
            return 0;
        raw[stream] = there ? features[stream] : NULL;
        first[stream] = (uint8_t)begins;
        for (int n = 0; there && n < FEATURES; n++) {
            uint64_t bits;
            if (scanf("%" SCNx64, &bits) != 1)
                return 0;
            memcpy(&features[stream][n], &bits, 8);
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    int device = argc == 2 ? serial_open(argv[1], 1000000) : -1;
    struct sparseflow board = {.port = {&device, write_all, read_one}, .retries = 3};
    const double *raw[STREAMS] = {0};
    uint8_t first[STREAMS] = {0};
    size_t packets;
    int result = sparseflow_open(&board);
    if (result == SPARSEFLOW_OK)
        result = sparseflow_load(&board, &sparseflow_model_image);
    while (result == SPARSEFLOW_OK && next(raw, first)) {
        result = sparseflow_batch(&sparseflow_model_input, raw, first, STREAMS, words, &packets);
        size_t given = packets * SPARSEFLOW_MODEL_OUT_WORDS;
        if (result == SPARSEFLOW_OK)
            result = sparseflow_run_batch(&board, words, PACKET, packets, out, given);
        for (size_t n = 0; result == SPARSEFLOW_OK && n < given; n++)
            printf("%" PRIu32 "\n", out[n]);
    }
    const double *none[STREAMS] = {0};
    int empty = sparseflow_batch(&sparseflow_model_input, none, first, STREAMS, words, &packets);
    fprintf(stderr, "%d %d\n", result, empty);
    return 0;
}
