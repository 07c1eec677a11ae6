/* Largest logits of a head in planes: what is laid out of it, and what a kernel must offer. */
#ifndef SPARSEFLOW_SCREEN_H
#define SPARSEFLOW_SCREEN_H

#include "../load/file.h"

#define SCREEN_GROUP 16 /* columns of a block that lie in 64 bytes, 2 bits each */
#define SCREEN_BYTES 64 /* columns of a row in 64 bytes, 8 bits each */
#define SCREEN_WORDS 32 /* and of 16 bits */
#define SCREEN_TOP 8

/* A head for kernels, rows in the order in which they are read.
 *
 * `planes`: of each block, of each 16 columns, 64 bytes: byte 4 * row + n has the first digits of
 * columns n, 4 + n, 8 + n, 12 + n, the first lowest, each 0 to 3 for -3, -1,
 * 1, 3. `middles`: of each row, what both planes say of its columns. */
struct screen {
    uint32_t outputs, inputs, blocks;
    uint32_t groups, bytes, words; /* of a block; of a row */
    int32_t lift, prior_shift;
    int64_t typical;
    uint8_t *planes;
    int8_t *middles; /* (rows, bytes) */
    int16_t *weight; /* (rows, words) */
    uint32_t *first; /* (blocks * 16) */
    uint32_t *second;
    const uint32_t *order;
    const int64_t *bias;  /* by output */
    int64_t *far, *slopes; /* (blocks), (blocks, 2): below and above the typical norm */
    uint64_t sizes[4];    /* bytes that are read: of a block, and of a row each time */
    const struct screener *kernel;
};

/* A hidden state as bounds take it. */
struct query {
    int8_t digits[SCREEN_COLUMNS] __attribute__((aligned(64)));
    int16_t high[SCREEN_COLUMNS], low[SCREEN_COLUMNS]; /* h is 256 * high + low, low 0 to 255 */
    int32_t sum, shift; /* of the digits; of what they stand for */
    int64_t norm, reaches[2];
};

struct screener {
    const char *name; /* of the kernel whose CPU it needs */
    /* Bounds of a block's rows after the first plane, and which are at least `tau`. */
    uint32_t (*first)(const struct screen *s, const struct query *q, uint32_t block, int64_t tau,
                      int64_t bounds[SCREEN_BLOCK]);
    /* A row's sum of what both planes say, times the state's digits. */
    int32_t (*second)(const struct screen *s, const struct query *q, uint32_t row);
    int64_t (*exact)(const struct screen *s, const struct query *q, uint32_t row);
};

int32_t screen_make(struct screen *screen, const struct file_head *head, const char *kernel,
                    struct sparseflow_run_error *error);
void screen_drop(struct screen *screen);
/* The largest logits of one state, `k` of them; what is read is added to `read`. */
void screen_top(const struct screen *s, const int32_t *x, uint32_t k, uint32_t margin,
                uint32_t *indices, int64_t *logits, struct sparseflow_run_read *read);
/* All of them. */
void screen_logits(const struct screen *s, const int32_t *x, int64_t *logits);

/* What a list holds: pairs in order, the largest logit first. */
struct best {
    uint32_t k, count;
    uint32_t *indices;
    int64_t *logits;
};

void best_add(struct best *best, int64_t logit, uint32_t output);

#endif
