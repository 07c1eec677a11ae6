/* Freestanding driver of a Sparseflow board behind its serial link; see docs/link.md.
 *
 * Needs nothing but a C99 compiler: no heap, no C library. Beside it lie two generated
 * headers: `python -m boards.link.c_header FOLDER` writes them.
 */
#ifndef SPARSEFLOW_H
#define SPARSEFLOW_H

#include <stddef.h>
#include <stdint.h>

#include "sparseflow_link_protocol.h"
#include "sparseflow_registers.h"

enum sparseflow_result {
    SPARSEFLOW_OK = 0,
    SPARSEFLOW_TIMEOUT = -1,     /* no answer in time */
    SPARSEFLOW_DAMAGED = -2,     /* a request or its answer was damaged on its way */
    SPARSEFLOW_OUT_OF_STEP = -3, /* the board was reset, or somebody else uses the line */
    SPARSEFLOW_REFUSED = -4,     /* an access was refused; read `errors` */
    SPARSEFLOW_VERSION = -5,     /* not Sparseflow, or of another version */
    SPARSEFLOW_WRONG_MODEL = -6, /* the image is for another bitstream */
    SPARSEFLOW_STUCK = -7,       /* the accelerator takes and gives nothing; read `errors` */
    SPARSEFLOW_USAGE = -8        /* more words than a frame carries */
};

/* What the driver needs of a serial port. */
struct sparseflow_port {
    void *context;
    /* Send all bytes. */
    void (*write)(void *context, const uint8_t *bytes, size_t count);
    /* The next byte, 0 to 255, or -1 if none comes within the port's timeout. */
    int (*read)(void *context);
};

struct sparseflow {
    struct sparseflow_port port;
    unsigned retries;   /* times that a request is repeated after a timeout or damage */
    uint32_t clock_hz;  /* of the board; set by sparseflow_open */
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

/* Meet the board; `port` and `retries` must be set. */
int sparseflow_open(struct sparseflow *board);

/* Registers at addresses that follow each other. */
int sparseflow_read(struct sparseflow *board, uint32_t address, uint32_t *words, size_t count);

/* Words one after the other to the same register. */
int sparseflow_write(struct sparseflow *board, uint32_t address, const uint32_t *words,
                     size_t count);

/* Words of a packet to s_axis; `taken` may be less than `count`. */
int sparseflow_send(struct sparseflow *board, const uint32_t *words, size_t count, int last,
                    size_t *taken);

/* Words that m_axis has now, at most `count`. */
int sparseflow_receive(struct sparseflow *board, uint32_t *words, size_t count, size_t *got);

/* Check that an image fits the bitstream, reset, load and start it. */
int sparseflow_load(struct sparseflow *board, const struct sparseflow_image *image);

/* Send a packet and receive what it gives. */
int sparseflow_run(struct sparseflow *board, const uint32_t *packet, size_t words, uint32_t *out,
                   size_t out_words);

#endif /* SPARSEFLOW_H */
