#include "sparseflow_mmio.h"

#define KIND_LIST 3u
#define DMA_MINOR 2u /* of the register map, from which on there is a port to memory */

uint32_t sparseflow_mmio_read(const struct sparseflow_mmio *board, uint32_t address)
{
    return board->registers[address / 4u];
}

void sparseflow_mmio_write(const struct sparseflow_mmio *board, uint32_t address, uint32_t word)
{
    board->registers[address / 4u] = word;
}

static uint32_t field(uint32_t word, uint32_t mask, uint32_t shift)
{
    return (word & mask) >> shift;
}

int sparseflow_mmio_open(const struct sparseflow_mmio *board, uint32_t design_hash)
{
    uint32_t version;
    if (sparseflow_mmio_read(board, SPARSEFLOW_MAGIC_ADDRESS) != SPARSEFLOW_MAGIC_VALUE)
        return SPARSEFLOW_MMIO_NONE;
    version = sparseflow_mmio_read(board, SPARSEFLOW_VERSION_ADDRESS);
    if (field(version, SPARSEFLOW_VERSION_MAJOR_MASK, SPARSEFLOW_VERSION_MAJOR_SHIFT) !=
            SPARSEFLOW_VERSION_MAJOR_VALUE ||
        field(version, SPARSEFLOW_VERSION_MINOR_MASK, SPARSEFLOW_VERSION_MINOR_SHIFT) < DMA_MINOR)
        return SPARSEFLOW_MMIO_VERSION;
    if (sparseflow_mmio_read(board, SPARSEFLOW_DESIGN_HASH_ADDRESS) != design_hash)
        return SPARSEFLOW_MMIO_WRONG_MODEL;
    return SPARSEFLOW_MMIO_OK;
}

/* Poll until none of some bits is set. */
static int clear(const struct sparseflow_mmio *board, uint32_t address, uint32_t mask)
{
    for (uint32_t n = 0; n < board->polls; n++)
        if (!(sparseflow_mmio_read(board, address) & mask))
            return SPARSEFLOW_MMIO_OK;
    return SPARSEFLOW_MMIO_STUCK;
}

int sparseflow_mmio_load(const struct sparseflow_mmio *board, uint64_t list, uint32_t frame_beats)
{
    int result;
    sparseflow_mmio_write(board, SPARSEFLOW_CONTROL_ADDRESS,
                          SPARSEFLOW_CONTROL_SOFT_RESET_MASK | SPARSEFLOW_CONTROL_NEW_SOURCE_MASK);
    result = clear(board, SPARSEFLOW_STATUS_ADDRESS, SPARSEFLOW_STATUS_SETTLING_MASK);
    if (result)
        return result;
    sparseflow_mmio_write(board, SPARSEFLOW_ERRORS_ADDRESS, 0xFFFFFFFFu);
    sparseflow_mmio_write(board, SPARSEFLOW_FRAME_ADDRESS, frame_beats);
    sparseflow_mmio_write(board, SPARSEFLOW_DMA_BASE_ADDRESS, (uint32_t)list);
    sparseflow_mmio_write(board, SPARSEFLOW_DMA_BASE_HIGH_ADDRESS, (uint32_t)(list >> 32));
    sparseflow_mmio_write(board, SPARSEFLOW_DMA_START_ADDRESS, KIND_LIST);
    result = clear(board, SPARSEFLOW_DMA_STATUS_ADDRESS, SPARSEFLOW_DMA_STATUS_LOADING_MASK);
    if (result) {
        sparseflow_mmio_write(board, SPARSEFLOW_DMA_STOP_ADDRESS, 1u);
        return result;
    }
    if (sparseflow_mmio_read(board, SPARSEFLOW_ERRORS_ADDRESS) & SPARSEFLOW_ERRORS_DMA_MASK)
        return SPARSEFLOW_MMIO_FAILED;
    return clear(board, SPARSEFLOW_STATUS_ADDRESS, SPARSEFLOW_STATUS_SETTLING_MASK);
}
