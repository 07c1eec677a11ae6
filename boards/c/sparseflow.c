#include "sparseflow.h"

#define WORDS SPARSEFLOW_LINK_MAX_WORDS
#define HEADER SPARSEFLOW_LINK_HEADER
#define BODY (HEADER + 4 * WORDS + 2)
#define STUCK_POLLS 10000u

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
    if (byte == SPARSEFLOW_LINK_FLAG || byte == SPARSEFLOW_LINK_ESCAPE)
        board->port.write(board->port.context, escaped, 2);
    else
        board->port.write(board->port.context, &byte, 1);
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
        uint8_t byte = i < HEADER
                           ? header[i]
                           : (uint8_t)(words[(i - HEADER) / 4] >> (8 * ((i - HEADER) % 4)));
        crc = crc_add(crc, byte);
        put(board, byte);
    }
    crc = (uint16_t)~crc;
    put(board, (uint8_t)crc);
    put(board, (uint8_t)(crc >> 8));
    put_flag(board);
}

/* The next frame, with a right check sequence. */
static int next_frame(struct sparseflow *board, struct frame *frame)
{
    uint16_t crc = 0xFFFFu;
    int escaped = 0, spoilt = 0;
    frame->length = 0;
    for (;;) {
        int byte = board->port.read(board->port.context);
        if (byte < 0)
            return SPARSEFLOW_TIMEOUT;
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
    for (;;) {
        int result = next_frame(board, reply);
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
    }
}

static int ask(struct sparseflow *board, uint8_t command, size_t count, uint32_t argument,
               const uint32_t *words, struct frame *reply)
{
    uint8_t header[HEADER];
    int result = SPARSEFLOW_OK;
    board->sequence++;
    header[0] = board->sequence;
    header[1] = command;
    header[2] = (uint8_t)count;
    header[3] = (uint8_t)(count >> 8);
    header[4] = (uint8_t)argument;
    header[5] = (uint8_t)(argument >> 8);
    for (unsigned attempt = 0; attempt <= board->retries; attempt++) {
        transmit(board, header, words, words ? count : 0);
        result = answer(board, header, reply);
        if (result == SPARSEFLOW_OK || result == SPARSEFLOW_OUT_OF_STEP)
            break;
    }
    board->in_step = result == SPARSEFLOW_OK;
    return result;
}

static int meet(struct sparseflow *board)
{
    struct frame reply;
    int result = ask(board, SPARSEFLOW_LINK_COMMAND_HELLO, 0, 0, NULL, &reply);
    if (result != SPARSEFLOW_OK)
        return result;
    if (reply.bytes[3] != SPARSEFLOW_LINK_VERSION || reply.length != HEADER + 4 + 2)
        return SPARSEFLOW_VERSION;
    board->clock_hz = 0;
    for (size_t i = 0; i < 4; i++)
        board->clock_hz |= (uint32_t)reply.bytes[HEADER + i] << (8 * i);
    return SPARSEFLOW_OK;
}

static int request(struct sparseflow *board, uint8_t command, size_t count, uint32_t argument,
                   const uint32_t *words, struct frame *reply, size_t *moved)
{
    int result = count > WORDS ? SPARSEFLOW_USAGE : SPARSEFLOW_OK;
    if (result == SPARSEFLOW_OK && !board->in_step)
        result = meet(board);
    if (result == SPARSEFLOW_OK)
        result = ask(board, command, count, argument, words, reply);
    if (result != SPARSEFLOW_OK)
        return result;
    *moved = reply->bytes[4] | (size_t)reply->bytes[5] << 8;
    if (reply->bytes[2] == SPARSEFLOW_LINK_CODE_REFUSED)
        return SPARSEFLOW_REFUSED;
    if (reply->bytes[2] != SPARSEFLOW_LINK_CODE_OK || *moved > count)
        return SPARSEFLOW_USAGE;
    return SPARSEFLOW_OK;
}

static void take_words(const struct frame *reply, uint32_t *words)
{
    size_t count = (reply->length - HEADER - 2) / 4;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = reply->bytes + HEADER + 4 * i;
        words[i] = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                   (uint32_t)bytes[3] << 24;
    }
}

int sparseflow_read(struct sparseflow *board, uint32_t address, uint32_t *words, size_t count)
{
    struct frame reply;
    size_t moved;
    int result = request(board, SPARSEFLOW_LINK_COMMAND_READ, count,
                         address | SPARSEFLOW_LINK_INCREMENT, NULL, &reply, &moved);
    if (result == SPARSEFLOW_OK && reply.length != HEADER + 4 * count + 2)
        result = SPARSEFLOW_USAGE;
    if (result == SPARSEFLOW_OK)
        take_words(&reply, words);
    return result;
}

int sparseflow_write(struct sparseflow *board, uint32_t address, const uint32_t *words,
                     size_t count)
{
    struct frame reply;
    int result = SPARSEFLOW_OK;
    for (size_t at = 0; at < count && result == SPARSEFLOW_OK; at += WORDS) {
        size_t moved, some = count - at < WORDS ? count - at : WORDS;
        result = request(board, SPARSEFLOW_LINK_COMMAND_WRITE, some, address, words + at, &reply,
                         &moved);
    }
    return result;
}

int sparseflow_send(struct sparseflow *board, const uint32_t *words, size_t count, int last,
                    size_t *taken)
{
    struct frame reply;
    size_t some = count < WORDS ? count : WORDS;
    uint32_t ends = last && some == count ? SPARSEFLOW_LINK_LAST : 0;
    return request(board, SPARSEFLOW_LINK_COMMAND_SEND, some, ends, words, &reply, taken);
}

int sparseflow_receive(struct sparseflow *board, uint32_t *words, size_t count, size_t *got)
{
    struct frame reply;
    size_t some = count < WORDS ? count : WORDS;
    int result =
        request(board, SPARSEFLOW_LINK_COMMAND_RECEIVE, some, 0, NULL, &reply, got);
    if (result == SPARSEFLOW_OK && reply.length != HEADER + 4 * *got + 2)
        result = SPARSEFLOW_USAGE;
    if (result == SPARSEFLOW_OK)
        take_words(&reply, words);
    return result;
}

int sparseflow_open(struct sparseflow *board)
{
    uint32_t identity[2];
    int result;
    board->in_step = 0;
    result = sparseflow_read(board, SPARSEFLOW_MAGIC_ADDRESS, identity, 2);
    if (result == SPARSEFLOW_OK &&
        (identity[0] != SPARSEFLOW_MAGIC_VALUE ||
         (identity[1] & SPARSEFLOW_VERSION_MAJOR_MASK) >> SPARSEFLOW_VERSION_MAJOR_SHIFT !=
             SPARSEFLOW_VERSION_MAJOR_VALUE))
        result = SPARSEFLOW_VERSION;
    return result;
}

static int settle(struct sparseflow *board)
{
    uint32_t status = SPARSEFLOW_STATUS_SETTLING_MASK;
    int result = SPARSEFLOW_OK;
    for (unsigned i = 0; i < STUCK_POLLS && result == SPARSEFLOW_OK; i++) {
        result = sparseflow_read(board, SPARSEFLOW_STATUS_ADDRESS, &status, 1);
        if (!(status & SPARSEFLOW_STATUS_SETTLING_MASK))
            break;
    }
    return result;
}

static int reset(struct sparseflow *board)
{
    const uint32_t command = SPARSEFLOW_CONTROL_SOFT_RESET_MASK | SPARSEFLOW_CONTROL_NEW_SOURCE_MASK;
    const uint32_t all = 0xFFFFFFFFu;
    uint32_t left[WORDS];
    size_t got = 1;
    int result = sparseflow_write(board, SPARSEFLOW_CONTROL_ADDRESS, &command, 1);
    if (result == SPARSEFLOW_OK)
        result = settle(board);
    while (result == SPARSEFLOW_OK && got)
        result = sparseflow_receive(board, left, WORDS, &got);
    if (result == SPARSEFLOW_OK)
        result = sparseflow_write(board, SPARSEFLOW_ERRORS_ADDRESS, &all, 1);
    return result;
}

int sparseflow_load(struct sparseflow *board, const struct sparseflow_image *image)
{
    uint32_t word;
    int result = sparseflow_read(board, SPARSEFLOW_DESIGN_HASH_ADDRESS, &word, 1);
    if (result == SPARSEFLOW_OK && word != image->design_hash)
        return SPARSEFLOW_WRONG_MODEL;
    if (result == SPARSEFLOW_OK)
        result = reset(board);
    if (result == SPARSEFLOW_OK)
        result = sparseflow_write(board, SPARSEFLOW_FRAME_ADDRESS, &image->frame_beats, 1);
    if (result == SPARSEFLOW_OK)
        result = sparseflow_write(board, SPARSEFLOW_LOAD_ADDRESS, image->load, image->load_words);
    if (result == SPARSEFLOW_OK)
        result = settle(board);
    if (result == SPARSEFLOW_OK)
        result = sparseflow_read(board, SPARSEFLOW_STATUS_ADDRESS, &word, 1);
    if (result == SPARSEFLOW_OK &&
        (word & (SPARSEFLOW_STATUS_HALTED_MASK | SPARSEFLOW_STATUS_FAULT_MASK)))
        result = SPARSEFLOW_STUCK;
    return result;
}

int sparseflow_run(struct sparseflow *board, const uint32_t *packet, size_t words, uint32_t *out,
                   size_t out_words)
{
    size_t sent = 0, got = 0;
    unsigned still = 0;
    while (got < out_words) {
        size_t taken = 0, some = 0;
        int result = SPARSEFLOW_OK;
        if (sent < words)
            result = sparseflow_send(board, packet + sent, words - sent, 1, &taken);
        sent += taken;
        if (result == SPARSEFLOW_OK && (!taken || sent == words))
            result = sparseflow_receive(board, out + got, out_words - got, &some);
        if (result != SPARSEFLOW_OK)
            return result;
        got += some;
        still = taken || some ? 0 : still + 1;
        if (still == STUCK_POLLS)
            return SPARSEFLOW_STUCK;
    }
    return SPARSEFLOW_OK;
}
