#include "peer.h"

#include <string.h>

#define READS SPARSEFLOW_LINK_COMMAND_READ
#define RECEIVES SPARSEFLOW_LINK_COMMAND_RECEIVE

static uint16_t check_sequence(const uint8_t *bytes, size_t count)
{
    uint16_t crc = 0xFFFFu;
    for (size_t i = 0; i < count; i++) {
        crc = (uint16_t)(crc ^ bytes[i]);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)((crc & 1u) ? (crc >> 1) ^ 0x8408u : crc >> 1);
    }
    return (uint16_t)~crc;
}

static int collect_one(struct request *request, uint8_t byte)
{
    if (byte == SPARSEFLOW_LINK_FLAG) {
        int whole = request->length >= 8;
        if (whole)
            request->length -= 2;
        else
            request->length = 0;
        request->escaped = 0;
        return whole;
    }
    if (byte == SPARSEFLOW_LINK_ESCAPE) {
        request->escaped = 1;
    } else if (request->length < LONGEST_BODY) {
        request->body[request->length++] =
            (uint8_t)(request->escaped ? byte ^ SPARSEFLOW_LINK_ESCAPED : byte);
        request->escaped = 0;
    }
    return 0;
}

void collect(struct request *request, const uint8_t *bytes, size_t count, void (*respond)(void))
{
    for (size_t i = 0; i < count; i++)
        if (collect_one(request, bytes[i])) {
            respond();
            request->length = 0;
        }
}

static void put(struct answers *out, uint8_t byte)
{
    if (out->end < sizeof out->bytes)
        out->bytes[out->end++] = byte;
}

void enframe(struct answers *out, const uint8_t *body, size_t length, unsigned damage)
{
    unsigned crc = check_sequence(body, length) ^ damage;
    put(out, SPARSEFLOW_LINK_FLAG);
    for (size_t i = 0; i < length + 2; i++) {
        uint8_t byte = (uint8_t)(i < length ? body[i] : crc >> (8 * (i - length)));
        if (byte == SPARSEFLOW_LINK_FLAG || byte == SPARSEFLOW_LINK_ESCAPE) {
            put(out, SPARSEFLOW_LINK_ESCAPE);
            byte ^= SPARSEFLOW_LINK_ESCAPED;
        }
        put(out, byte);
    }
    put(out, SPARSEFLOW_LINK_FLAG);
}

static void word(uint8_t *body, size_t place, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        body[6 + 4 * place + i] = (uint8_t)(value >> (8 * i));
}

size_t honest(const struct request *request, uint8_t *body, size_t receives)
{
    const uint8_t *asked = request->body;
    size_t count = asked[2] | (size_t)asked[3] << 8, words = 0;
    unsigned address = (asked[4] | (unsigned)asked[5] << 8) & 0x7FFFu;
    memset(body, 0, LONGEST_BODY);
    body[0] = asked[0];
    body[1] = asked[1] | SPARSEFLOW_LINK_REPLY;
    if (asked[1] == SPARSEFLOW_LINK_COMMAND_HELLO) {
        body[3] = SPARSEFLOW_LINK_VERSION;
        count = words = 1;
    }
    if (asked[1] == RECEIVES) {
        body[3] = SPARSEFLOW_LINK_LAST;
        count = count < receives ? count : receives;
    }
    if (asked[1] == READS || asked[1] == RECEIVES)
        words = count;
    body[4] = (uint8_t)count;
    body[5] = (uint8_t)(count >> 8);
    if (asked[1] == READS && address == SPARSEFLOW_MAGIC_ADDRESS && count == 2) {
        word(body, 0, SPARSEFLOW_MAGIC_VALUE);
        word(body, 1, SPARSEFLOW_VERSION_MAJOR_VALUE << SPARSEFLOW_VERSION_MAJOR_SHIFT);
    }
    return 6 + 4 * words;
}
