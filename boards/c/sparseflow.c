#include "sparseflow.h"

#define WORDS SPARSEFLOW_LINK_MAX_WORDS
#define HEADER SPARSEFLOW_LINK_HEADER
#define BODY (HEADER + 4 * WORDS + 2)
#define LONGEST (2 * BODY + 2) /* of a frame on the line: all escaped, and two flags */

struct frame {
    uint8_t bytes[BODY];
    size_t length;
};

static uint16_t crc_add(uint16_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++)
        crc = (uint16_t)((crc & 1u) ? (crc >> 1) ^ 0x8408u : crc >> 1);
    return crc;
}

static void put(struct sparseflow *board, uint8_t byte)
{
    uint8_t escaped[2] = {SPARSEFLOW_LINK_ESCAPE, (uint8_t)(byte ^ SPARSEFLOW_LINK_ESCAPED)};
    int special = byte == SPARSEFLOW_LINK_FLAG || byte == SPARSEFLOW_LINK_ESCAPE;
    board->port.write(board->port.context, special ? escaped : &byte, special ? 2 : 1);
}

static void put_flag(struct sparseflow *board)
{
    const uint8_t flag = SPARSEFLOW_LINK_FLAG;
    board->port.write(board->port.context, &flag, 1);
}

static void transmit(struct sparseflow *board, const uint8_t *header, const uint32_t *words,
                     size_t count)
{
    uint16_t crc = 0xFFFFu;
    put_flag(board);
    for (size_t i = 0; i < HEADER + 4 * count; i++) {
        size_t at = i - HEADER;
        uint8_t byte = (uint8_t)(i < HEADER ? header[i] : words[at / 4] >> (8 * (at % 4)));
        crc = crc_add(crc, byte);
        put(board, byte);
    }
    crc = (uint16_t)~crc;
    put(board, (uint8_t)crc);
    put(board, (uint8_t)(crc >> 8));
    put_flag(board);
}

/* A limit that grows with the words of a call, or the largest number. */
static uint32_t allowance(uint32_t base, uint32_t each, size_t words)
{
    return words < (UINT32_MAX - base) / each ? base + each * (uint32_t)words : UINT32_MAX;
}

/* Starts the deadline of a call that moves so many words. */
static void begin(struct sparseflow *board, size_t words)
{
    board->reads_left = board->deadline_reads;
    if (!board->reads_left)
        board->reads_left = allowance(SPARSEFLOW_DEADLINE_READS, SPARSEFLOW_WORD_READS, words);
    board->limit_ms = board->deadline_ms;
    if (!board->limit_ms)
        board->limit_ms = allowance(SPARSEFLOW_DEADLINE_MS, SPARSEFLOW_WORD_MS, words);
    board->began = board->milliseconds ? board->milliseconds(board->port.context) : 0;
}

static int expired(const struct sparseflow *board)
{
    uint32_t now = board->milliseconds ? board->milliseconds(board->port.context) : board->began;
    return !board->reads_left || (uint32_t)(now - board->began) >= board->limit_ms;
}

/* A byte from the line, of the `left` that one answer may take. */
static int next_byte(struct sparseflow *board, unsigned *left)
{
    int byte;
    if (expired(board))
        return SPARSEFLOW_DEADLINE;
    if (!*left)
        return SPARSEFLOW_NOISE;
    board->reads_left--;
    --*left;
    byte = board->port.read(board->port.context);
    return byte < 0 ? SPARSEFLOW_TIMEOUT : byte & 0xFF;
}

/* The next frame, with a right check sequence. */
static int next_frame(struct sparseflow *board, struct frame *frame, unsigned *left)
{
    uint16_t crc = 0xFFFFu;
    int escaped = 0, spoilt = 0;
    frame->length = 0;
    for (;;) {
        int byte = next_byte(board, left);
        if (byte < 0)
            return byte;
        if (byte == (int)SPARSEFLOW_LINK_FLAG) {
            if (frame->length == 0 && !escaped && !spoilt)
                continue;
            if (escaped || spoilt || frame->length < HEADER + 2 || frame->length % 4 ||
                crc != 0xF0B8u)
                return SPARSEFLOW_DAMAGED;
            return SPARSEFLOW_OK;
        }
        if (frame->length == BODY) {
            spoilt = 1;
        } else if (byte == (int)SPARSEFLOW_LINK_ESCAPE) {
            escaped = 1;
        } else {
            uint8_t plain = (uint8_t)(escaped ? byte ^ (int)SPARSEFLOW_LINK_ESCAPED : byte);
            escaped = 0;
            crc = crc_add(crc, plain);
            frame->bytes[frame->length++] = plain;
        }
    }
}

/* The answer to a request; answers to earlier ones are skipped. */
static int answer(struct sparseflow *board, const uint8_t *header, struct frame *reply)
{
    unsigned left = SPARSEFLOW_LINK_ANSWER_BYTES;
    for (;;) {
        int result = next_frame(board, reply, &left);
        if (result == SPARSEFLOW_TIMEOUT)
            put_flag(board); /* ends what the board may still listen to */
        if (result != SPARSEFLOW_OK)
            return result;
        if (reply->bytes[1] == SPARSEFLOW_LINK_NAK)
            return reply->bytes[2] == SPARSEFLOW_LINK_CODE_DAMAGED ? SPARSEFLOW_DAMAGED
                                                                   : SPARSEFLOW_OUT_OF_STEP;
        if (reply->bytes[0] == header[0] &&
            reply->bytes[1] == (header[1] | SPARSEFLOW_LINK_REPLY))
            return SPARSEFLOW_OK;
        if (left < LONGEST)
            return SPARSEFLOW_STALE; /* between frames, so that the next attempt is in step */
    }
}

static int ask(struct sparseflow *board, uint8_t command, size_t count, uint32_t argument,
               const uint32_t *words, struct frame *reply)
{
    uint8_t header[HEADER];
    unsigned left = board->retries;
    int result;
    board->sequence++;
    header[0] = board->sequence;
    header[1] = command;
    header[2] = (uint8_t)count;
    header[3] = (uint8_t)(count >> 8);
    header[4] = (uint8_t)argument;
    header[5] = (uint8_t)(argument >> 8);
    do {
        transmit(board, header, words, words ? count : 0);
        result = answer(board, header, reply);
    } while (result != SPARSEFLOW_OK && result != SPARSEFLOW_OUT_OF_STEP &&
             result != SPARSEFLOW_DEADLINE && left--);
    board->in_step = result == SPARSEFLOW_OK;
    return result;
}

static void take_words(const struct frame *reply, uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = reply->bytes + HEADER + 4 * i;
        words[i] = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                   (uint32_t)bytes[3] << 24;
    }
}

static int meet(struct sparseflow *board)
{
    struct frame reply;
    int result = ask(board, SPARSEFLOW_LINK_COMMAND_HELLO, 0, 0, NULL, &reply);
    if (result != SPARSEFLOW_OK)
        return result;
    board->in_step = reply.bytes[2] == SPARSEFLOW_LINK_CODE_OK &&
                     reply.bytes[3] == SPARSEFLOW_LINK_VERSION && reply.length == HEADER + 4 + 2;
    if (!board->in_step)
        return SPARSEFLOW_VERSION;
    take_words(&reply, &board->clock_hz, 1);
    return SPARSEFLOW_OK;
}

/* Whether an answer's code and counts fit its request, and whether all words were moved. */
static int check(const struct frame *reply, uint8_t command, size_t count, size_t moved)
{
    int carries =
        command == SPARSEFLOW_LINK_COMMAND_READ || command == SPARSEFLOW_LINK_COMMAND_RECEIVE;
    int whole = command == SPARSEFLOW_LINK_COMMAND_READ || command == SPARSEFLOW_LINK_COMMAND_WRITE;
    if (moved > count || reply->length != HEADER + 2 + (carries ? 4 * moved : 0))
        return SPARSEFLOW_MALFORMED;
    if (reply->bytes[2] == SPARSEFLOW_LINK_CODE_REFUSED && whole)
        return SPARSEFLOW_REFUSED;
    if (reply->bytes[2] != SPARSEFLOW_LINK_CODE_OK)
        return SPARSEFLOW_MALFORMED;
    return whole && moved != count ? SPARSEFLOW_SHORT : SPARSEFLOW_OK;
}

/* Ask, meeting the board first where that is needed; `moved` is 0 unless all is well. */
static int request(struct sparseflow *board, uint8_t command, size_t count, uint32_t argument,
                   const uint32_t *words, struct frame *reply, size_t *moved)
{
    size_t found;
    int result;
    *moved = 0;
    if (count > WORDS)
        return SPARSEFLOW_USAGE;
    if ((!board->in_step && (result = meet(board))) ||
        (result = ask(board, command, count, argument, words, reply)))
        return result;
    found = reply->bytes[4] | (size_t)reply->bytes[5] << 8;
    result = check(reply, command, count, found);
    board->in_step = result != SPARSEFLOW_MALFORMED;
    *moved = result == SPARSEFLOW_OK ? found : 0;
    return result;
}

static int read_words(struct sparseflow *board, uint32_t address, uint32_t *words, size_t count)
{
    struct frame reply;
    size_t moved;
    int result;
    if (address >= SPARSEFLOW_LINK_INCREMENT || (count && !words))
        return SPARSEFLOW_USAGE;
    result = request(board, SPARSEFLOW_LINK_COMMAND_READ, count,
                     address | SPARSEFLOW_LINK_INCREMENT, NULL, &reply, &moved);
    if (result == SPARSEFLOW_OK)
        take_words(&reply, words, moved);
    return result;
}

static int write_words(struct sparseflow *board, uint32_t address, const uint32_t *words,
                       size_t count)
{
    struct frame reply;
    int result = SPARSEFLOW_OK;
    if (address >= SPARSEFLOW_LINK_INCREMENT || (count && !words))
        return SPARSEFLOW_USAGE;
    while (count && result == SPARSEFLOW_OK) {
        size_t moved, some = count < WORDS ? count : WORDS;
        result = request(board, SPARSEFLOW_LINK_COMMAND_WRITE, some, address, words, &reply,
                         &moved);
        words += some;
        count -= some;
    }
    return result;
}

static int send_words(struct sparseflow *board, const uint32_t *words, size_t count, int last,
                      size_t *taken)
{
    struct frame reply;
    size_t some = count < WORDS ? count : WORDS;
    uint32_t ends = last && some == count ? SPARSEFLOW_LINK_LAST : 0;
    *taken = 0;
    if (count && !words)
        return SPARSEFLOW_USAGE;
    return request(board, SPARSEFLOW_LINK_COMMAND_SEND, some, ends, words, &reply, taken);
}

/* As sparseflow_receive; `last` is set if the last word ends a packet. */
static int receive_words(struct sparseflow *board, uint32_t *words, size_t count, size_t *got,
                         int *last)
{
    struct frame reply;
    size_t some = count < WORDS ? count : WORDS;
    int result;
    *got = 0;
    if (count && !words)
        return SPARSEFLOW_USAGE;
    if ((result = request(board, SPARSEFLOW_LINK_COMMAND_RECEIVE, some, 0, NULL, &reply, got)))
        return result;
    take_words(&reply, words, *got);
    *last = (reply.bytes[3] & SPARSEFLOW_LINK_LAST) != 0;
    return SPARSEFLOW_OK;
}

int sparseflow_read(struct sparseflow *board, uint32_t address, uint32_t *words, size_t count)
{
    begin(board, count);
    return read_words(board, address, words, count);
}

int sparseflow_write(struct sparseflow *board, uint32_t address, const uint32_t *words,
                     size_t count)
{
    begin(board, count);
    return write_words(board, address, words, count);
}

int sparseflow_send(struct sparseflow *board, const uint32_t *words, size_t count, int last,
                    size_t *taken)
{
    begin(board, count);
    return send_words(board, words, count, last, taken);
}

int sparseflow_receive(struct sparseflow *board, uint32_t *words, size_t count, size_t *got)
{
    int last = 0;
    begin(board, count);
    return receive_words(board, words, count, got, &last);
}

int sparseflow_open(struct sparseflow *board)
{
    uint32_t identity[2], major;
    int result;
    begin(board, 2);
    board->in_step = 0;
    if ((result = read_words(board, SPARSEFLOW_MAGIC_ADDRESS, identity, 2)))
        return result;
    major = (identity[1] & SPARSEFLOW_VERSION_MAJOR_MASK) >> SPARSEFLOW_VERSION_MAJOR_SHIFT;
    if (identity[0] != SPARSEFLOW_MAGIC_VALUE || major != SPARSEFLOW_VERSION_MAJOR_VALUE)
        return SPARSEFLOW_VERSION;
    return SPARSEFLOW_OK;
}

/* Status once it tells of what was written. */
static int settle(struct sparseflow *board, uint32_t *status)
{
    for (unsigned i = 0; i < SPARSEFLOW_LINK_SETTLE_READS; i++) {
        int result = read_words(board, SPARSEFLOW_STATUS_ADDRESS, status, 1);
        if (result || !(*status & SPARSEFLOW_STATUS_SETTLING_MASK))
            return result;
    }
    return SPARSEFLOW_UNSETTLED;
}

/* Throw away what m_axis still has. */
static int drain(struct sparseflow *board)
{
    uint32_t left[WORDS];
    size_t got, all = 0;
    int result, last;
    do {
        if ((result = receive_words(board, left, WORDS, &got, &last)))
            return result;
        all += got;
    } while (got && all < SPARSEFLOW_LINK_DRAIN_WORDS);
    return got ? SPARSEFLOW_ENDLESS : SPARSEFLOW_OK;
}

static int reset(struct sparseflow *board)
{
    const uint32_t all = 0xFFFFFFFFu;
    const uint32_t command = SPARSEFLOW_CONTROL_SOFT_RESET_MASK | SPARSEFLOW_CONTROL_NEW_SOURCE_MASK;
    uint32_t status;
    int result;
    if ((result = write_words(board, SPARSEFLOW_CONTROL_ADDRESS, &command, 1)) ||
        (result = settle(board, &status)) || (result = drain(board)))
        return result;
    return write_words(board, SPARSEFLOW_ERRORS_ADDRESS, &all, 1);
}

int sparseflow_load(struct sparseflow *board, const struct sparseflow_image *image)
{
    uint32_t word;
    int result;
    begin(board, image->load_words);
    result = read_words(board, SPARSEFLOW_DESIGN_HASH_ADDRESS, &word, 1);
    if (result == SPARSEFLOW_OK && word != image->design_hash)
        return SPARSEFLOW_WRONG_MODEL;
    if (result || (result = reset(board)) ||
        (result = write_words(board, SPARSEFLOW_FRAME_ADDRESS, &image->frame_beats, 1)) ||
        (result = write_words(board, SPARSEFLOW_LOAD_ADDRESS, image->load, image->load_words)) ||
        (result = settle(board, &word)))
        return result;
    word &= SPARSEFLOW_STATUS_HALTED_MASK | SPARSEFLOW_STATUS_FAULT_MASK;
    return word ? SPARSEFLOW_STUCK : SPARSEFLOW_OK;
}

int sparseflow_run(struct sparseflow *board, const uint32_t *packet, size_t words, uint32_t *out,
                   size_t out_words)
{
    size_t sent = 0, got = 0;
    unsigned still = 0;
    int last = 1;
    begin(board, words < SIZE_MAX - out_words ? words + out_words : SIZE_MAX);
    if ((words && !packet) || (out_words && !out))
        return SPARSEFLOW_USAGE;
    while (sent < words || got < out_words) {
        size_t taken = 0, some = 0;
        int result = SPARSEFLOW_OK;
        if (sent < words)
            result = send_words(board, packet + sent, words - sent, 1, &taken);
        sent += taken;
        if (result == SPARSEFLOW_OK && got < out_words && (!taken || sent == words))
            result = receive_words(board, out + got, out_words - got, &some, &last);
        if (result != SPARSEFLOW_OK)
            return result;
        got += some;
        still = taken || some ? 0 : still + 1;
        if (still == SPARSEFLOW_STUCK_POLLS)
            return SPARSEFLOW_STUCK;
    }
    return last ? SPARSEFLOW_OK : SPARSEFLOW_MISALIGNED;
}

int sparseflow_run_batch(struct sparseflow *board, const uint32_t *packets, size_t words,
                         size_t count, uint32_t *out, size_t out_words)
{
    if (!count)
        return SPARSEFLOW_USAGE;
    for (; count > 1; count--, packets += words) {
        int result = sparseflow_run(board, packets, words, NULL, 0);
        if (result != SPARSEFLOW_OK)
            return result;
    }
    return sparseflow_run(board, packets, words, out, out_words);
}
