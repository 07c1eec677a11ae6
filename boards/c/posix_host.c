/* Runs a job on a board behind a terminal device: an example of the driver, and its test.
 *
 * posix_host DEVICE < JOB. A job is numbers: design hash, beats of a frame; count and words
 * of the image; count and words of a packet; words to receive. Prints the clock and these
 * words, or the result that is not 0.
 */
#define _XOPEN_SOURCE 600
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "sparseflow.h"

#define TIMEOUT_MS 20000
#define DEADLINE_MS 120000 /* the board may be a simulation */

static void write_all(void *context, const uint8_t *bytes, size_t count)
{
    while (count) {
        ssize_t done = write(*(int *)context, bytes, count);
        if (done <= 0)
            exit(1);
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

static uint32_t number(void)
{
    uint32_t value;
    if (scanf("%" SCNu32, &value) != 1)
        exit(2);
    return value;
}

static uint32_t *numbers(size_t *count)
{
    uint32_t *words;
    *count = number();
    words = calloc(*count + 1, sizeof *words);
    if (!words)
        exit(3);
    for (size_t i = 0; i < *count; i++)
        words[i] = number();
    return words;
}

int main(int argc, char **argv)
{
    int device = argc == 2 ? open(argv[1], O_RDWR | O_NOCTTY) : -1;
    struct sparseflow board = {.port = {&device, write_all, read_one},
                               .retries = 3,
                               .milliseconds = milliseconds,
                               .deadline_ms = DEADLINE_MS};
    struct sparseflow_image image;
    struct termios raw;
    size_t words, out_words;
    if (device < 0 || tcgetattr(device, &raw))
        return 4;
    raw.c_iflag = raw.c_oflag = raw.c_lflag = 0;
    raw.c_cflag = CS8 | CREAD | CLOCAL;
    tcsetattr(device, TCSANOW, &raw);
    image.design_hash = number();
    image.frame_beats = number();
    image.load = numbers(&image.load_words);
    uint32_t *packet = numbers(&words);
    out_words = number();
    uint32_t *out = calloc(out_words + 1, sizeof *out);
    int result = sparseflow_open(&board);
    if (result == SPARSEFLOW_OK)
        result = sparseflow_load(&board, &image);
    if (result == SPARSEFLOW_OK)
        result = sparseflow_run(&board, packet, words, out, out_words);
    if (result != SPARSEFLOW_OK) {
        fprintf(stderr, "result %d\n", result);
        return 5;
    }
    printf("%" PRIu32 "\n", board.clock_hz);
    for (size_t i = 0; i < out_words; i++)
        printf("%" PRIu32 "\n", out[i]);
    return 0;
}
