/* What stands for a board at the other end of the C driver's line, honest or hostile. */
#ifndef PEER_H
#define PEER_H

#include "sparseflow.h"

enum { LONGEST_BODY = 6 + 4 * 200 };

/* A request as it came: header and words, without its check sequence. */
struct request {
    uint8_t body[LONGEST_BODY];
    size_t length;
    int escaped;
};

/* Bytes that wait for the driver. */
struct answers {
    uint8_t bytes[1 << 16];
    size_t at, end;
};

/* Collects what the driver writes, and calls `respond` for every whole request. */
void collect(struct request *request, const uint8_t *bytes, size_t count, void (*respond)(void));

/* A frame for the driver, its check sequence changed by `damage`. */
void enframe(struct answers *out, const uint8_t *body, size_t length, unsigned damage);

/* The body of an honest answer; its length. `receives`: words that m_axis has. */
size_t honest(const struct request *request, uint8_t *body, size_t receives);

#endif /* PEER_H */
