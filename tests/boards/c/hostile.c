/* Meets the driver with one hostile peer: hostile PEER prints result and reads of open and load. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

static const char *peer;
static struct request request;
static struct answers answers;
static unsigned long reads;
static uint32_t now;

static int is(const char *name)
{
    return !strcmp(peer, name);
}

static void respond(void)
{
    uint8_t body[LONGEST_BODY];
    size_t length = honest(&request, body, is("endless") ? 1000 : 0);
    unsigned command = request.body[1], address = request.body[4];
    if (is("unsettled") && command == SPARSEFLOW_LINK_COMMAND_READ &&
        address == SPARSEFLOW_STATUS_ADDRESS)
        body[6] = SPARSEFLOW_STATUS_SETTLING_MASK;
    if (is("zero") && command == SPARSEFLOW_LINK_COMMAND_WRITE)
        body[4] = 0;
    answers.at = answers.end = 0;
    if (!is("silent") && !is("stale"))
        enframe(&answers, body, length, 0);
}

static void take(void *context, const uint8_t *bytes, size_t count)
{
    (void)context;
    collect(&request, bytes, count, respond);
}

static int give(void *context)
{
    (void)context;
    reads++;
    if (is("slow"))
        now += 50;
    if (is("noise") || is("slow"))
        return 0x55;
    if (is("stale") && answers.at == answers.end) {
        const uint8_t old[6] = {99, SPARSEFLOW_LINK_COMMAND_READ | SPARSEFLOW_LINK_REPLY};
        answers.at = answers.end = 0;
        enframe(&answers, old, sizeof old, 0);
    }
    return answers.at < answers.end ? answers.bytes[answers.at++] : -1;
}

static uint32_t clock(void *context)
{
    (void)context;
    return now - 1000u; /* wraps within the call */
}

int main(int count, char **names)
{
    const uint32_t load[4] = {1, 2, 3, 4};
    struct sparseflow board = {.port = {NULL, take, give}, .retries = 3};
    struct sparseflow_image image = {0, 4, load, 4};
    peer = count > 1 ? names[1] : "honest";
    if (is("slow"))
        board.milliseconds = clock;
    int opened = sparseflow_open(&board);
    int loaded = opened == SPARSEFLOW_OK ? sparseflow_load(&board, &image) : opened;
    printf("%d %d %lu %lu\n", opened, loaded, reads, (unsigned long)now);
    return 0;
}
