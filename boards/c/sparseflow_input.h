/* From raw features to the packets of a board: see docs/link.md and docs/specification.md.
 *
 * Needs nothing but a C99 compiler with doubles of IEEE 754, evaluated as such: no heap, no C
 * library. What it gives equals the Python driver bit for bit. `sparseflow c-header` writes the
 * tables of a model.
 */
#ifndef SPARSEFLOW_INPUT_H
#define SPARSEFLOW_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "sparseflow.h"

/* Beside the results of sparseflow.h: a feature is NaN, infinite or too large to be scaled. */
enum { SPARSEFLOW_NOT_FINITE = -17 };

/* What a model and its bitstream say of a frame. */
struct sparseflow_input {
    size_t features;
    const double *mean, *factor; /* of each feature; NULL where the model knows no scale */
    double unit;                 /* of a frame's integers: 2 to the power of its fraction bits */
    int32_t least, most;         /* of a frame's integers */
    size_t directions;           /* 1, or 2: the second reads the frames from the last to the first */
    const uint32_t *places;      /* of each number in a frame's words, in bits; direction by direction */
    uint32_t bits;               /* that a number takes there: 8, 16 or 32 */
    size_t frame_words;
};

/* A frame of integers of raw features, `input->features` of both.
 * SPARSEFLOW_OK; SPARSEFLOW_USAGE if the model knows no scale; SPARSEFLOW_NOT_FINITE:
 * `frame` is of no use then. */
int sparseflow_quantise(const struct sparseflow_input *input, const double *raw, int32_t *frame);

/* Words of the packet of a sequence: 1 + frames * input->frame_words of them. `raw` are all
 * frames, one after the other. `first`: the sequence begins here, else it goes on.
 * As sparseflow_quantise; SPARSEFLOW_USAGE for a context above 0xFFFF, no frames, or two
 * directions that go on. */
int sparseflow_packet(const struct sparseflow_input *input, const double *raw, size_t frames,
                      int first, uint32_t context, uint32_t *words);

/* The packets of a batch, for a batched design: a frame of each stream that is there.
 *
 * `raw[c]` are the features of stream c, NULL where it has no frame; `first[c]`: they begin a
 * sequence. `words` has room for `streams` packets of 1 + `frame_words` words; they lie one behind
 * the other, `*packets` says how many. The last closes the batch: sparseflow_run_batch sends them.
 * As sparseflow_packet; SPARSEFLOW_USAGE without any frame. */
int sparseflow_batch(const struct sparseflow_input *input, const double *const *raw,
                     const uint8_t *first, uint32_t streams, uint32_t *words, size_t *packets);

#endif /* SPARSEFLOW_INPUT_H */
