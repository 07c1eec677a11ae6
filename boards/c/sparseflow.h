/* Freestanding driver of a Sparseflow board behind its serial link; see docs/link.md.
 *
 * Needs nothing but a C99 compiler: no heap, no C library. Beside it lie two generated
 * headers: `python -m boards.link.c_header FOLDER` writes them.
 *
 * Whatever the peer sends, every function returns within its deadline and writes only into
 * the arrays that it was given.
 */
#ifndef SPARSEFLOW_H
#define SPARSEFLOW_H

#include <stddef.h>
#include <stdint.h>

#include "sparseflow_link_protocol.h"
#include "sparseflow_registers.h"

enum sparseflow_result {
    SPARSEFLOW_OK = 0,
    SPARSEFLOW_TIMEOUT = -1,     /* no byte came: `port.read` timed out */
    SPARSEFLOW_DAMAGED = -2,     /* a request or its answer was damaged on its way */
    SPARSEFLOW_OUT_OF_STEP = -3, /* the board was reset, or somebody else uses the line */
    SPARSEFLOW_REFUSED = -4,     /* an access was refused; read `errors` */
    SPARSEFLOW_VERSION = -5,     /* not Sparseflow, or of another version */
    SPARSEFLOW_WRONG_MODEL = -6, /* the image is for another bitstream */
    SPARSEFLOW_STUCK = -7,       /* the accelerator takes and gives nothing; read `errors` */
    SPARSEFLOW_USAGE = -8,       /* the caller's: more words than a frame carries, no words, or
                                    an address above 0x7FFF */
    SPARSEFLOW_NOISE = -9,       /* bytes come on and on, none of them a frame */
    SPARSEFLOW_STALE = -10,      /* whole frames come on and on, none answers the request */
    SPARSEFLOW_ENDLESS = -11,    /* after a reset m_axis still gives words */
    SPARSEFLOW_UNSETTLED = -12,  /* `status.settling` does not clear */
    SPARSEFLOW_SHORT = -13,      /* fewer words were moved than asked for, and none refused */
    SPARSEFLOW_MALFORMED = -14,  /* an answer whose counts or code do not fit the request */
    SPARSEFLOW_MISALIGNED = -15, /* the last word received does not end a packet */
    SPARSEFLOW_DEADLINE = -16    /* the call's deadline has passed */
};

/* Deadlines of a call that moves `words` words, where the caller gives none:
 * SPARSEFLOW_DEADLINE_MS + words * SPARSEFLOW_WORD_MS milliseconds if there is a clock, and
 * SPARSEFLOW_DEADLINE_READS + words * SPARSEFLOW_WORD_READS calls of `port.read`. */
#define SPARSEFLOW_DEADLINE_MS 30000u
#define SPARSEFLOW_WORD_MS 10u
#define SPARSEFLOW_DEADLINE_READS 1000000u
#define SPARSEFLOW_WORD_READS 4000u

/* Times that sparseflow_run asks in vain before it says SPARSEFLOW_STUCK. */
#define SPARSEFLOW_STUCK_POLLS 2000u

/* What the driver needs of a serial port. Both functions must return: after a time limit of
 * their own, whatever the line does. */
struct sparseflow_port {
    void *context;
    /* Send all bytes. What cannot be sent is dropped, and the answer will not come. */
    void (*write)(void *context, const uint8_t *bytes, size_t count);
    /* The next byte, 0 to 255, or a negative number if none comes within the time limit. */
    int (*read)(void *context);
};

/* Set all to 0 first (`= {0}`), then `port`, `retries` and what else is wanted. */
struct sparseflow {
    struct sparseflow_port port;
    unsigned retries; /* times that a request is repeated after a timeout or damage */
    /* A clock that goes on and may wrap, called with `port.context`; NULL if there is none:
     * then the deadline counts reads only. */
    uint32_t (*milliseconds)(void *context);
    uint32_t deadline_ms;    /* of each call of this driver; 0: as above */
    uint32_t deadline_reads; /* the same in calls of `port.read`; 0: as above */
    uint32_t clock_hz;       /* of the board; set by sparseflow_open */
    /* The driver's own. */
    uint32_t began, limit_ms, reads_left;
    uint8_t sequence;
    uint8_t in_step;
};

/* An image of a model: compiler.lower.image.Image in plain numbers. */
struct sparseflow_image {
    uint32_t design_hash;
    uint32_t frame_beats;
    const uint32_t *load; /* Image.load_words() */
    size_t load_words;
};

/* All functions return SPARSEFLOW_OK or an error of the line: SPARSEFLOW_TIMEOUT, DAMAGED,
 * OUT_OF_STEP, NOISE, STALE, MALFORMED, DEADLINE, VERSION, USAGE. After one the next call
 * meets the board afresh. What they return besides stands with each. */

/* Meet the board. SPARSEFLOW_VERSION if it is none. */
int sparseflow_open(struct sparseflow *board);

/* Registers at addresses that follow each other, at most SPARSEFLOW_LINK_MAX_WORDS.
 * SPARSEFLOW_REFUSED, SHORT; `words` then is as before. */
int sparseflow_read(struct sparseflow *board, uint32_t address, uint32_t *words, size_t count);

/* Any number of words, one after the other, to the same register.
 * SPARSEFLOW_REFUSED, SHORT; some were written then. */
int sparseflow_write(struct sparseflow *board, uint32_t address, const uint32_t *words,
                     size_t count);

/* Words of a packet to s_axis; `taken` may be less than `count`. */
int sparseflow_send(struct sparseflow *board, const uint32_t *words, size_t count, int last,
                    size_t *taken);

/* Words that m_axis has now, at most `count`; none after an error. */
int sparseflow_receive(struct sparseflow *board, uint32_t *words, size_t count, size_t *got);

/* Check that an image fits the bitstream, reset, load and start it.
 * SPARSEFLOW_WRONG_MODEL, UNSETTLED, ENDLESS, STUCK, REFUSED, SHORT. */
int sparseflow_load(struct sparseflow *board, const struct sparseflow_image *image);

/* Send a packet and receive what it gives. SPARSEFLOW_STUCK, MISALIGNED; after any error
 * load the image again. */
int sparseflow_run(struct sparseflow *board, const uint32_t *packet, size_t words, uint32_t *out,
                   size_t out_words);

/* Send packets of `words` words each, one behind the other, and receive what the last gives: of a
 * batched design the results of all streams, once the packet that closes the batch is there.
 * As sparseflow_run, SPARSEFLOW_USAGE for no packets. */
int sparseflow_run_batch(struct sparseflow *board, const uint32_t *packets, size_t words,
                         size_t count, uint32_t *out, size_t out_words);

#endif /* SPARSEFLOW_H */
