/* Fuzzes the driver with a peer that knows the protocol: fuzz FIRST COUNT.
 *
 * The peer answers each request as a board would, then damages the answer at one of many
 * places. Before a seed runs its number is written to stderr, so that the last one there is the one
 * that failed. Prints how often each result came.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum { RESULTS = 17 };

static uint64_t state;
static struct request request;
static struct answers answers;
static int endless;
static unsigned damage_one_in; /* answers; 0: frames are honest */
static int gushes, unsettled;  /* words of m_axis never end; status never settles */
static unsigned long reads;
static uint32_t now, largest_tick;
static unsigned long results[RESULTS];

static uint32_t random_below(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state * 0x2545F4914F6CDD1Du) >> 32) % bound;
}

static uint8_t random_byte(void)
{
    const uint8_t special[4] = {SPARSEFLOW_LINK_FLAG, SPARSEFLOW_LINK_ESCAPE, 0, 0xFF};
    return random_below(4) ? (uint8_t)random_below(256) : special[random_below(4)];
}

static void noise(size_t count)
{
    while (count-- && answers.end < sizeof answers.bytes)
        answers.bytes[answers.end++] = random_byte();
}

/* Status and hash as a board might have them. */
static void colour(uint8_t *body)
{
    unsigned address = request.body[4] | (unsigned)(request.body[5] & 0x7F) << 8;
    if (request.body[1] != SPARSEFLOW_LINK_COMMAND_READ)
        return;
    if (address == SPARSEFLOW_STATUS_ADDRESS && !random_below(4))
        body[6] = (uint8_t)random_below(256);
    if (address == SPARSEFLOW_STATUS_ADDRESS && unsettled)
        body[6] = SPARSEFLOW_STATUS_SETTLING_MASK;
    if (address == SPARSEFLOW_DESIGN_HASH_ADDRESS && !random_below(8))
        body[6] = 1;
}

/* Send an answer that is wrong in one way. */
static void damaged(uint8_t *body, size_t length)
{
    size_t start;
    switch (random_below(15)) {
    case 0: /* a field, rightly framed */
        body[random_below(6)] = random_byte();
        break;
    case 1: /* more or fewer words than it says */
        length = 6 + 4 * random_below(140);
        break;
    case 2: /* no whole words */
        length = random_below((uint32_t)length + 8);
        break;
    case 3: /* fewer words moved */
        body[4] = (uint8_t)random_below(body[4] + 1u);
        body[5] = 0;
        break;
    case 4: /* a code */
        body[2] = (uint8_t)random_below(7);
        break;
    case 5: /* a NAK */
        body[1] = SPARSEFLOW_LINK_NAK;
        body[2] = (uint8_t)random_below(3);
        break;
    case 6: /* an old answer before */
        body[0]--;
        enframe(&answers, body, length, 0);
        body[0]++;
        break;
    case 7:
        noise(random_below(64));
        break;
    case 8: /* another check sequence */
        enframe(&answers, body, length, 1u << random_below(16));
        return;
    case 9: /* no answer */
        return;
    case 10: /* a byte lost, or changed */
        start = answers.end;
        enframe(&answers, body, length, 0);
        start += random_below((uint32_t)(answers.end - start));
        if (random_below(2))
            answers.bytes[start] = random_byte();
        else
            memmove(answers.bytes + start, answers.bytes + start + 1, --answers.end - start);
        return;
    case 11: /* cut off */
        start = answers.end;
        enframe(&answers, body, length, 0);
        answers.end = start + random_below((uint32_t)(answers.end - start));
        return;
    default: /* noise, one byte, or old frames for ever */
        endless = 1 + (int)random_below(3);
        return;
    }
    enframe(&answers, body, length, 0);
}

static void respond(void)
{
    uint8_t body[LONGEST_BODY];
    size_t length = honest(&request, body, gushes || random_below(3) ? 1 + random_below(200) : 0);
    if (request.body[1] == SPARSEFLOW_LINK_COMMAND_SEND && !random_below(3))
        body[4] = 0;
    if (request.body[1] == SPARSEFLOW_LINK_COMMAND_RECEIVE && !random_below(3))
        body[3] = 0;
    colour(body);
    if (answers.at == answers.end)
        answers.at = answers.end = 0;
    if (!damage_one_in || random_below(damage_one_in))
        enframe(&answers, body, length, 0);
    else
        damaged(body, length);
}

static void take(void *context, const uint8_t *bytes, size_t count)
{
    (void)context;
    collect(&request, bytes, count, respond);
}

static int give(void *context)
{
    const uint8_t old[10] = {99, SPARSEFLOW_LINK_COMMAND_READ | SPARSEFLOW_LINK_REPLY, 0, 0, 1};
    (void)context;
    reads++;
    now += largest_tick ? random_below(largest_tick + 1) : 0;
    if (endless && !random_below(20000))
        endless = 0;
    if (answers.at == answers.end && endless) {
        answers.at = answers.end = 0;
        if (endless == 1)
            noise(64);
        else if (endless == 2)
            answers.bytes[answers.end++] = 0x55;
        else
            enframe(&answers, old, sizeof old, 0);
    }
    return answers.at < answers.end ? answers.bytes[answers.at++] : -1 - (int)random_below(3);
}

static uint32_t clock(void *context)
{
    (void)context;
    return now - 500u;
}

static void fail(const char *what, long a, long b)
{
    fprintf(stderr, "%s: %ld, %ld\n", what, a, b);
    abort();
}

/* An array of its own, so that the sanitizer sees every word beyond it. */
static uint32_t *array(size_t count)
{
    uint32_t *words = malloc(count ? count * sizeof *words : 1);
    if (!words)
        exit(3);
    for (size_t i = 0; i < count; i++)
        words[i] = random_below(UINT32_MAX);
    return words;
}

static int call(struct sparseflow *board, size_t *moved)
{
    size_t count = random_below(random_below(4) ? 140 : 700), got = 0;
    uint32_t address = 4 * random_below(40), *words = array(count), *out = array(count);
    struct sparseflow_image image = {0, 4, words, count};
    int result, kind = (int)random_below(7);
    *moved = count;
    if (kind == 0)
        result = sparseflow_open(board);
    else if (kind == 1)
        result = sparseflow_read(board, address << (8 * !random_below(40)), words, count);
    else if (kind == 2)
        result = sparseflow_write(board, address, words, count);
    else if (kind == 3)
        result = sparseflow_send(board, words, count, 1, &got);
    else if (kind == 4)
        result = sparseflow_receive(board, words, count, &got);
    else if (kind == 5)
        result = sparseflow_load(board, &image);
    else
        result = sparseflow_run(board, words, count, out, random_below((uint32_t)count + 1));
    if (got > count || (result != SPARSEFLOW_OK && got))
        fail("words moved", (long)got, (long)count);
    if (kind == 6)
        *moved = 2 * count;
    free(words);
    free(out);
    return result;
}

static void checked_call(struct sparseflow *board)
{
    unsigned long limit, before = reads;
    uint32_t began = now;
    size_t words;
    int result = call(board, &words);
    if (result > 0 || result <= -RESULTS)
        fail("result", result, 0);
    results[-result]++;
    limit = board->deadline_reads;
    if (!limit)
        limit = SPARSEFLOW_DEADLINE_READS + (words + 2) * SPARSEFLOW_WORD_READS;
    if (reads - before > limit)
        fail("reads", (long)(reads - before), (long)limit);
    limit = board->deadline_ms;
    if (!limit)
        limit = SPARSEFLOW_DEADLINE_MS + (words + 2) * SPARSEFLOW_WORD_MS;
    if (board->milliseconds && now - began > limit + largest_tick)
        fail("milliseconds", (long)(now - began), (long)limit);
}

static void run(uint32_t seed)
{
    struct sparseflow board = {.port = {NULL, take, give}};
    state = 0x9E3779B97F4A7C15u * (seed + 1u);
    request.length = answers.at = answers.end = 0;
    request.escaped = endless = 0;
    now = largest_tick = 0;
    gushes = !random_below(8);
    unsettled = !random_below(8);
    damage_one_in = random_below(3) ? 2 + random_below(60) : 0;
    board.retries = random_below(50) ? random_below(4) : UINT32_MAX;
    board.deadline_reads = random_below(4) ? 0 : 1 + random_below(5000);
    if (random_below(2)) {
        board.milliseconds = clock;
        largest_tick = 1 + random_below(20);
        board.deadline_ms = random_below(2) ? 0 : 1 + random_below(20000);
    }
    for (uint32_t calls = 1 + random_below(6); calls; calls--)
        checked_call(&board);
}

int main(int count, char **numbers)
{
    uint32_t first = count > 1 ? (uint32_t)strtoul(numbers[1], NULL, 10) : 0;
    uint32_t seeds = count > 2 ? (uint32_t)strtoul(numbers[2], NULL, 10) : 1;
    for (uint32_t seed = first; seed - first < seeds; seed++) {
        fprintf(stderr, "seed %lu\n", (unsigned long)seed);
        run(seed);
    }
    for (int i = 0; i < RESULTS; i++)
        printf("%d %lu\n", -i, results[i]);
    return 0;
}
