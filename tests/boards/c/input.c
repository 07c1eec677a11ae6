/* Reads raw features, 16 hexadecimal digits each; prints the packet of them, as all words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model.h"

enum { FEATURES = SPARSEFLOW_MODEL_FEATURES, MOST = 600 };

static double raw[MOST * FEATURES];
static uint32_t words[1 + MOST * SPARSEFLOW_MODEL_FRAME_WORDS];

int main(void)
{
    size_t count = 0;
    uint64_t bits;
    int32_t frame[FEATURES];
    while (count < MOST * FEATURES && scanf("%" SCNx64, &bits) == 1)
        memcpy(&raw[count++], &bits, 8);
    int result = sparseflow_packet(&sparseflow_model_input, raw, count / FEATURES, 1, 0, words);
    printf("%d %d\n", result, sparseflow_quantise(&sparseflow_model_input, raw, frame));
    for (size_t n = 0; n < 1 + count / FEATURES * SPARSEFLOW_MODEL_FRAME_WORDS; n++)
        printf("%" PRIu32 "\n", words[n]);
#if SPARSEFLOW_MODEL_LABELS
    for (size_t n = 0; n < SPARSEFLOW_MODEL_LABELS; n++)
        puts(sparseflow_model_labels[n]);
#endif
    return sparseflow_model_image.load_words == 0;
}
