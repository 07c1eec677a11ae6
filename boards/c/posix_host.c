/* Runs a job on a board behind a serial port: an example of the driver, and its test.
 *
 * posix_host DEVICE < JOB > WORDS
 *
 * `sparseflow job` writes the job, docs/link.md has its format. Prints the words that the board
 * gave, one a line; its clock goes to stderr. Status 1: they could not be written; 2: not called so, or no job; 3: too
 * little memory; 4: the port; 5: the board, with the driver's result on stderr.
 */
#define _XOPEN_SOURCE 600
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "posix_serial.h"
#include "sparseflow.h"

#define TIMEOUT_MS 20000
#define DEADLINE_MS 120000u /* the board may be a simulation */
#define USAGE "usage: posix_host DEVICE < JOB > WORDS   (sparseflow job writes JOB)\n"
#define MAGIC "sparseflow-job"
#define VERSION 1u

struct words {
    uint32_t *all;
    size_t count;
};

struct packet {
    struct words in;
    uint32_t out;
};

struct job {
    uint32_t baud;
    struct sparseflow_image image;
    struct packet *packets;
    size_t count;
};

static unsigned long line_number = 1;

static void write_all(void *context, const uint8_t *bytes, size_t count)
{
    struct pollfd wait = {.fd = *(int *)context, .events = POLLOUT};
    while (count) {
        ssize_t done = write(wait.fd, bytes, count);
        if (done < 0 && errno == EAGAIN && poll(&wait, 1, TIMEOUT_MS) > 0)
            continue;
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* dropped: no answer will come, which the driver tells */
        bytes += done;
        count -= (size_t)done;
    }
}

static int read_one(void *context)
{
    struct pollfd wait = {.fd = *(int *)context, .events = POLLIN};
    uint8_t byte;
    if (poll(&wait, 1, TIMEOUT_MS) <= 0 || read(wait.fd, &byte, 1) != 1)
        return -1;
    return byte;
}

static uint32_t milliseconds(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000u + (uint32_t)(now.tv_nsec / 1000000);
}

static void no_job(const char *wanted)
{
    fprintf(stderr, "line %lu of the job: wanted is %s: write it anew with sparseflow job\n",
            line_number, wanted);
    exit(2);
}

/* The next word between white space, at most size - 1 characters. */
static void token(char *text, size_t size, const char *wanted)
{
    size_t length = 0;
    int next;
    while ((next = getchar()) == ' ' || next == '\n' || next == '\r' || next == '\t')
        line_number += next == '\n';
    for (; next != EOF && !strchr(" \n\r\t", next); next = getchar()) {
        if (!next || length + 1 >= size)
            no_job(wanted);
        text[length++] = (char)next;
    }
    if (!length)
        no_job(wanted);
    text[length] = 0;
    ungetc(next, stdin); /* its line is counted with the next word */
}

static void exactly(const char *wanted)
{
    char text[32];
    token(text, sizeof text, wanted);
    if (strcmp(text, wanted))
        no_job(wanted);
}

static uint32_t number(const char *wanted)
{
    char text[16];
    uint64_t value = 0;
    token(text, sizeof text, wanted);
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            no_job(wanted);
        value = 10 * value + (uint64_t)(*at - '0');
        if (value > UINT32_MAX)
            no_job(wanted);
    }
    return (uint32_t)value;
}

/* Room for one more; grows with what is read, whatever a count claims. */
static void *room(void *all, size_t count, size_t size)
{
    if (count & (count - 1))
        return all;
    all = count < SIZE_MAX / 2 / size ? realloc(all, (count ? 2 * count : 1) * size) : NULL;
    if (!all) {
        fprintf(stderr, "the job does not fit the memory: write one of fewer sequences\n");
        exit(3);
    }
    return all;
}

static struct words numbers(void)
{
    struct words found = {NULL, 0};
    for (uint32_t left = number("a count"); left; left--) {
        found.all = room(found.all, found.count, sizeof *found.all);
        found.all[found.count++] = number("a word, 0 to 4294967295");
    }
    return found;
}

static struct job read_job(void)
{
    struct job job = {0};
    exactly(MAGIC);
    if (number("a version") != VERSION)
        no_job("version 1");
    job.baud = number("a rate, 1 or more");
    if (!job.baud)
        no_job("a rate, 1 or more");
    job.image.design_hash = number("the hash of a design");
    job.image.frame_beats = number("the beats of a frame");
    struct words load = numbers();
    job.image.load = load.all;
    job.image.load_words = load.count;
    for (uint32_t left = number("a count of packets"); left; left--) {
        job.packets = room(job.packets, job.count, sizeof *job.packets);
        job.packets[job.count].in = numbers();
        job.packets[job.count++].out = number("a count of words to receive");
    }
    exactly("end");
    return job;
}

static int run(struct sparseflow *board, const struct packet *packet)
{
    uint32_t *out = malloc(((size_t)packet->out + 1) * sizeof *out);
    if (!out) {
        fprintf(stderr, "the answers do not fit the memory: write a job of shorter sequences\n");
        exit(3);
    }
    board->deadline_ms = DEADLINE_MS + SPARSEFLOW_WORD_MS * (uint32_t)packet->in.count +
                         SPARSEFLOW_WORD_MS * packet->out;
    int result = sparseflow_run(board, packet->in.all, packet->in.count, out, packet->out);
    for (size_t i = 0; result == SPARSEFLOW_OK && i < packet->out; i++)
        printf("%" PRIu32 "\n", out[i]);
    free(out);
    return result;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (argc != 2 || argv[1][0] == '-') {
        fputs(USAGE, stderr);
        return 2;
    }
    struct job job = read_job();
    int device = serial_open(argv[1], job.baud);
    if (device < 0)
        return 4;
    struct sparseflow board = {.port = {&device, write_all, read_one},
                               .retries = 3,
                               .milliseconds = milliseconds,
                               .deadline_ms = DEADLINE_MS};
    board.deadline_ms += SPARSEFLOW_WORD_MS * (uint32_t)job.image.load_words;
    int result = sparseflow_open(&board);
    if (result == SPARSEFLOW_OK) {
        fprintf(stderr, "board at %" PRIu32 " Hz, %" PRIu32 " baud\n", board.clock_hz, job.baud);
        result = sparseflow_load(&board, &job.image);
    }
    for (size_t i = 0; result == SPARSEFLOW_OK && i < job.count; i++)
        result = run(&board, &job.packets[i]);
    if (fflush(stdout) || ferror(stdout)) {
        perror("the words cannot be written");
        return 1;
    }
    if (result != SPARSEFLOW_OK) {
        fprintf(stderr, "result %d: docs/link.md says what it means\n", result);
        return 5;
    }
    return 0;
}
