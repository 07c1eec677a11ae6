/* Runs packed models of Sparseflow on a CPU, bit for bit what the accelerator computes.
 *
 * Reads the file that `sparseflow pack` writes (docs/specification.md) and needs nothing but a
 * C library and POSIX threads. docs/cpu.md says how it works.
 *
 * A model is read once and never changes: any number of threads may use it at a time. A stream
 * belongs to one thread at a time; in a child of fork it goes on, on one thread. No function allocates after `sparseflow_run_start` but
 * `sparseflow_run_sequences`, and none prints, exits or keeps state of its own.
 */
#ifndef SPARSEFLOW_RUN_H
#define SPARSEFLOW_RUN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sparseflow_run: this CPU is big-endian, which the library does not run on"
#endif

#if defined(__GNUC__)
#define SPARSEFLOW_RUN_PUBLIC __attribute__((visibility("default")))
#else
#define SPARSEFLOW_RUN_PUBLIC
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Goes up when a function or a structure changes; new functions leave it as it is. */
#define SPARSEFLOW_RUN_ABI 2u
#define SPARSEFLOW_RUN_TEXT 400

enum sparseflow_run_result {
    SPARSEFLOW_RUN_OK = 0,
    SPARSEFLOW_RUN_FILE = -1,        /* the file cannot be read */
    SPARSEFLOW_RUN_FORMAT = -2,      /* it is no model file, damaged, or of a newer version */
    SPARSEFLOW_RUN_UNSUPPORTED = -3, /* a model that this library does not run */
    SPARSEFLOW_RUN_MEMORY = -4,
    SPARSEFLOW_RUN_USAGE = -5, /* an argument is wrong */
    SPARSEFLOW_RUN_RANGE = -6  /* an input lies outside its format */
};

/* What went wrong, in one line with what to do; empty after success. */
struct sparseflow_run_error {
    int32_t code;
    char text[SPARSEFLOW_RUN_TEXT];
};

/* Set all to 0 first (`= {0}`), then what is wanted. */
struct sparseflow_run_options {
    const char *kernel; /* one of sparseflow_run_kernel; NULL: the fastest of this CPU */
    uint32_t threads;   /* that work on one step, the caller's among them; 0: one */
};

/* Number format: an integer v stands for v / 2**fraction. */
struct sparseflow_run_format {
    int32_t bits; /* the sign included */
    int32_t fraction;
};

enum sparseflow_run_pool { /* what the head is fed with */
    SPARSEFLOW_RUN_LAST = 0,
    SPARSEFLOW_RUN_HN = 1,
    SPARSEFLOW_RUN_MEAN = 2,
    SPARSEFLOW_RUN_EVERY = 3
};

struct sparseflow_run_shape {
    uint32_t inputs;     /* X: numbers of a frame */
    uint32_t units;      /* D * H: hidden states of the last level, both directions */
    uint32_t outputs;    /* D * R: what a step puts out; H or what H is projected to */
    uint32_t classes;    /* logits of the head; 0 without one */
    uint32_t levels;     /* layers, a pair of directions counted once */
    uint32_t directions; /* D, 1 or 2; with 2 only whole sequences can be run */
    uint32_t pool;       /* enum sparseflow_run_pool */
    uint32_t threads;
    struct sparseflow_run_format input, output, hidden, cell, logits;
    uint64_t weights;  /* entries kept, padding left out */
    uint64_t bytes;    /* of weights and indices that a step of one stream reads */
};

/* How a layer is run. */
struct sparseflow_run_layer {
    char kernel[16];
    uint32_t window;        /* columns that are picked from at a time; 0: read by address */
    uint32_t state_digits;  /* bytes of an input or a state as products take them */
    uint32_t weight_digits; /* bytes of a weight */
    uint32_t sum_bits;      /* that sums are added up in: 32, 40 in two parts, or 64 */
    uint64_t weights;       /* entries kept */
    uint64_t entries;       /* entries worked on, those that only fill included */
    uint64_t loads;         /* windows of all blocks that are loaded */
    uint64_t rests;         /* weights that their bytes do not hold whole, each added by itself */
    uint64_t bytes;
};

struct sparseflow_run_model;
struct sparseflow_run_stream;

SPARSEFLOW_RUN_PUBLIC uint32_t sparseflow_run_abi(void);

/* Kernels that this CPU can run, the fastest first; NULL behind the last. */
SPARSEFLOW_RUN_PUBLIC const char *sparseflow_run_kernel(uint32_t n);

/* Read a model file, from a path or from memory (which may be freed afterwards). `options` and
 * `error` may be NULL. On failure `*model` is NULL and the result is not 0. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_open(const char *path, const struct sparseflow_run_options *options,
                            struct sparseflow_run_model **model,
                            struct sparseflow_run_error *error);
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_read(const void *bytes, size_t count,
                            const struct sparseflow_run_options *options,
                            struct sparseflow_run_model **model,
                            struct sparseflow_run_error *error);

/* After all its streams have ended. NULL is allowed, here and in `_end`. */
SPARSEFLOW_RUN_PUBLIC void sparseflow_run_close(struct sparseflow_run_model *model);

SPARSEFLOW_RUN_PUBLIC void sparseflow_run_shape(const struct sparseflow_run_model *model,
                          struct sparseflow_run_shape *shape);
/* 0 behind the last layer. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_layer(const struct sparseflow_run_model *model, uint32_t n,
                             struct sparseflow_run_layer *layer);

/* `batch` sequences that go on side by side from a zero state; weights are read once for all. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_start(const struct sparseflow_run_model *model, uint32_t batch,
                             struct sparseflow_run_stream **stream,
                             struct sparseflow_run_error *error);
SPARSEFLOW_RUN_PUBLIC void sparseflow_run_end(struct sparseflow_run_stream *stream);

/* Back to the zero state: one sequence, 0 to batch - 1. Another number does nothing. */
SPARSEFLOW_RUN_PUBLIC void sparseflow_run_reset(struct sparseflow_run_stream *stream, uint32_t which);

/* One step of all sequences: frames (batch, inputs) in the input's format to outputs
 * (batch, outputs), which may be NULL. If a number is out of range no state has changed. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_step(struct sparseflow_run_stream *stream, const int32_t *frames,
                            int32_t *outputs, struct sparseflow_run_error *error);

/* The same of some sequences, whose frames and outputs (count, ...) lie in the order of `which`:
 * numbers of sequences, rising. The others stay where they are. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_step_some(struct sparseflow_run_stream *stream, uint32_t count,
                                 const uint32_t *which, const int32_t *frames, int32_t *outputs,
                                 struct sparseflow_run_error *error);

/* States of the last level now: hidden (batch, units), cell (batch, units); each may be NULL.
 * The cell of a GRU is its state with two more fraction bits. */
SPARSEFLOW_RUN_PUBLIC void sparseflow_run_states(const struct sparseflow_run_stream *stream, int32_t *hidden,
                           int32_t *cell);

/* Nanoseconds of each of so many steps, each (steps), on frames (count, batch, inputs) in turn. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_time(struct sparseflow_run_stream *stream,
                                                  const int32_t *frames, size_t count,
                                                  size_t steps, uint32_t *each,
                                                  struct sparseflow_run_error *error);

/* Whole sequences, each from a zero state; frames of all lie one after the other.
 *
 * lengths (count): frames of each, 0 allowed. frames (F, inputs). hidden, cell (F, units) and
 * outputs (F, outputs): states of the last level after every frame; each may be NULL. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_sequences(const struct sparseflow_run_model *model, size_t count,
                                 const size_t *lengths, const int32_t *frames, int32_t *hidden,
                                 int32_t *cell, int32_t *outputs,
                                 struct sparseflow_run_error *error);

/* Logits of one sequence: outputs (length, outputs), length at least 1, to logits (classes);
 * (length, classes) of a model whose head is fed with every frame. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_logits(const struct sparseflow_run_model *model, size_t length,
                              const int32_t *outputs, int64_t *logits,
                              struct sparseflow_run_error *error);

/* What the largest logits have cost: rows of a head that `sparseflow pack --screen` has laid in
 * planes, and bytes of weights, norms, biases and places. */
struct sparseflow_run_read {
    uint32_t first, second, exact; /* rows whose first plane was read, whose second, all of which */
    uint64_t bytes;
};

#define SPARSEFLOW_RUN_PROOF 256u

/* The `k` largest of these logits, 1 to 8 and at most the classes: indices and logits (k), or
 * (length, k) of a model whose head is fed with every frame, the largest first, of equal ones the
 * lower index first. `read` (1, or length) may be NULL.
 *
 * margin: 0 or SPARSEFLOW_RUN_PROOF: they are those of the full layer, by proof. 1 to 255: so many
 * 256ths of the proven bound are taken, which reads less and is a guess. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_top(const struct sparseflow_run_model *model,
                                                 size_t length, const int32_t *outputs,
                                                 uint32_t k, uint32_t margin, uint32_t *indices,
                                                 int64_t *logits, struct sparseflow_run_read *read,
                                                 struct sparseflow_run_error *error);

/* An entry of the tanh table of 2**segments segments, 6 to 8, for activations of 6 to 18 bits,
 * for whoever checks it. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_table(uint32_t bits, uint32_t segments,
                                                   uint32_t segment, int64_t *base,
                                                   int64_t *rise);

#ifdef __cplusplus
}
#endif

#endif
