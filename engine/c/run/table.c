/* Tables of tanh for every width of activations, from numbers of 62 fraction bits. */
#include "layer.h"
#include "tanh_table.h"

int table_bits(int32_t fraction)
{
    return fraction < 5 ? (int)fraction + 3 : 8;
}

int32_t table_entry(int32_t bits, int segments, int32_t segment, int64_t *base, int64_t *rise)
{
    int32_t first = segments == 6 ? 0 : segments == 7 ? 64 : 192;
    int shift = TANH_FRACTION - (bits + 1);
    if (bits < 6 || bits > 18 || segments < 6 || segments > 8 || segment < 0 ||
        segment >= 1 << segments)
        return SPARSEFLOW_RUN_USAGE;
    int64_t half = (int64_t)1 << (shift - 1);
    *base = segment ? (TANH_TABLE[first + segment][0] + half) >> shift : 0;
    *rise = (TANH_TABLE[first + segment][1] + half) >> shift;
    return SPARSEFLOW_RUN_OK;
}

int32_t sparseflow_run_table(uint32_t bits, uint32_t segments, uint32_t segment, int64_t *base,
                             int64_t *rise)
{
    return table_entry((int32_t)bits, (int)segments, (int32_t)segment, base, rise);
}
