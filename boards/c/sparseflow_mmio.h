/* Freestanding driver of a Sparseflow accelerator in the memory of its processor: module
 * sparseflow_dram, whose models lie in memory; see docs/integration.md.
 *
 * Needs nothing but a C99 compiler: no heap, no C library. Beside it lies the generated header
 * sparseflow_registers.h, which every top brings along. Frames and states go over whatever the
 * system has between memory and AXI4-Stream; the first word of a packet is its header.
 */
#ifndef SPARSEFLOW_MMIO_H
#define SPARSEFLOW_MMIO_H

#include <stdint.h>

#include "sparseflow_registers.h"

enum sparseflow_mmio_result {
    SPARSEFLOW_MMIO_OK = 0,
    SPARSEFLOW_MMIO_NONE = -1,        /* no accelerator at this address */
    SPARSEFLOW_MMIO_VERSION = -2,     /* its registers are of another version, or it has no port
                                         to memory */
    SPARSEFLOW_MMIO_WRONG_MODEL = -3, /* it is of another design than the model */
    SPARSEFLOW_MMIO_FAILED = -4,      /* the transfer failed: read dma_status */
    SPARSEFLOW_MMIO_STUCK = -5        /* it has not ended after so many polls */
};

struct sparseflow_mmio {
    volatile uint32_t *registers; /* its page of 4 KiB */
    uint32_t polls;               /* reads of a register before SPARSEFLOW_MMIO_STUCK */
};

/* A register by its address: SPARSEFLOW_..._ADDRESS. */
uint32_t sparseflow_mmio_read(const struct sparseflow_mmio *board, uint32_t address);
void sparseflow_mmio_write(const struct sparseflow_mmio *board, uint32_t address, uint32_t word);

/* Whether it is there, and of the design that a model was made for.
 * SPARSEFLOW_MMIO_NONE, VERSION, WRONG_MODEL. */
int sparseflow_mmio_open(const struct sparseflow_mmio *board, uint32_t design_hash);

/* Reset, load a model along its list, and start its program; then packets may be sent.
 * `list` and `frame_beats` are LIST_0 and FRAME_BEATS_0 of the model's header. What the
 * processor wrote of the model must have left its caches.
 * SPARSEFLOW_MMIO_FAILED, STUCK. */
int sparseflow_mmio_load(const struct sparseflow_mmio *board, uint64_t list, uint32_t frame_beats);

#endif /* SPARSEFLOW_MMIO_H */
