#include "sparseflow_input.h"

#include <float.h>

#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 1
#error "doubles are evaluated in another precision: compile with -msse2 -mfpmath=sse or the like"
#endif
#ifdef __FAST_MATH__
#error "-ffast-math changes results: leave it out"
#endif

/* From here on a double rounds to no finite float. */
#define TOO_LARGE 0x1.ffffffp127

/* An integer of a raw feature: rounded to float, then to the format, halves up, saturated. */
static int integer(const struct sparseflow_input *input, size_t n, double raw, int32_t *found)
{
    volatile double moved = raw - input->mean[n]; /* volatile: nothing is fused or left wide */
    volatile double product = moved * input->factor[n];
    if (!(product > -TOO_LARGE && product < TOO_LARGE)) /* NaN too */
        return SPARSEFLOW_NOT_FINITE;
    volatile float scaled = (float)product;
    volatile double units = (double)scaled * input->unit;
    volatile double half = units + 0.5;
    if (half >= (double)input->most) {
        *found = input->most;
    } else if (half < (double)input->least) {
        *found = input->least;
    } else {
        int32_t whole = (int32_t)half; /* towards 0 */
        *found = whole - (half < (double)whole);
    }
    return SPARSEFLOW_OK;
}

int sparseflow_quantise(const struct sparseflow_input *input, const double *raw, int32_t *frame)
{
    if (!input->mean || !input->factor)
        return SPARSEFLOW_USAGE;
    for (size_t n = 0; n < input->features; n++) {
        int result = integer(input, n, raw[n], &frame[n]);
        if (result != SPARSEFLOW_OK)
            return result;
    }
    return SPARSEFLOW_OK;
}

static void put(const struct sparseflow_input *input, uint32_t place, int32_t value,
                uint32_t *words)
{
    uint32_t mask = input->bits < 32u ? (1u << input->bits) - 1u : 0xFFFFFFFFu;
    words[place / 32u] |= ((uint32_t)value & mask) << (place % 32u);
}

int sparseflow_packet(const struct sparseflow_input *input, const double *raw, size_t frames,
                      int first, uint32_t context, uint32_t *words)
{
    if (!input->mean || !input->factor || !frames || context > SPARSEFLOW_PACKET_CONTEXT_MASK ||
        (!first && input->directions > 1))
        return SPARSEFLOW_USAGE;
    words[0] = SPARSEFLOW_PACKET_MAGIC_VALUE << SPARSEFLOW_PACKET_MAGIC_SHIFT |
               (first ? 1u : 0u) << SPARSEFLOW_PACKET_FIRST_SHIFT | context;
    for (size_t i = 0; i < frames * input->frame_words; i++)
        words[1 + i] = 0;
    for (size_t t = 0; t < frames; t++) {
        for (size_t n = 0; n < input->features; n++) {
            int32_t value;
            int result = integer(input, n, raw[t * input->features + n], &value);
            if (result != SPARSEFLOW_OK)
                return result;
            for (size_t d = 0; d < input->directions; d++) {
                size_t turn = d ? frames - 1 - t : t;
                put(input, input->places[d * input->features + n], value,
                    words + 1 + turn * input->frame_words);
            }
        }
    }
    return SPARSEFLOW_OK;
}

int sparseflow_batch(const struct sparseflow_input *input, const double *const *raw,
                     const uint8_t *first, uint32_t streams, uint32_t *words, size_t *packets)
{
    uint32_t *last = NULL;
    *packets = 0;
    for (uint32_t context = 0; context < streams; context++) {
        uint32_t *next = words + *packets * (1 + input->frame_words);
        if (!raw[context])
            continue;
        int result = sparseflow_packet(input, raw[context], 1, first[context], context, next);
        if (result != SPARSEFLOW_OK)
            return result;
        last = next;
        ++*packets;
    }
    if (!last)
        return SPARSEFLOW_USAGE;
    *last |= 1u << SPARSEFLOW_PACKET_CLOSES_SHIFT;
    return SPARSEFLOW_OK;
}
