/* Whatever bytes a model file has, they are refused in a line or run: for libFuzzer, with
 * -DSPARSEFLOW_RUN_ANY_CHECKSUM, as no fuzzer finds a SHA-256. */
#include <sparseflow_run.h>

#include <stdlib.h>
#include <string.h>

static void largest(const struct sparseflow_run_model *model, const int32_t *outputs, uint32_t k)
{
    uint32_t indices[3 * 8];
    int64_t logits[3 * 8];
    struct sparseflow_run_read read[3];
    struct sparseflow_run_error error;
    sparseflow_run_top(model, 3, outputs, k, 0, indices, logits, read, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const char *const kernels[] = {NULL, "avx2", "neon", "plain"};
    struct sparseflow_run_model *model;
    struct sparseflow_run_error error;
    struct sparseflow_run_shape shape;
    struct sparseflow_run_options options = {.kernel = kernels[count % 4]};
    if (sparseflow_run_read(bytes, count, &options, &model, &error)) {
        if (!error.text[0] || error.code == 0 || memchr(error.text, 0, sizeof error.text) == NULL)
            abort();
        return 0;
    }
    sparseflow_run_shape(model, &shape);
    size_t lengths[2] = {2, 1};
    if (shape.inputs < 100000 && shape.outputs < 100000) {
        int32_t *frames = calloc(3 * (size_t)shape.inputs, sizeof *frames);
        int32_t *outputs = calloc(3 * (size_t)shape.outputs, sizeof *outputs);
        int64_t *logits = calloc(3 * ((size_t)shape.classes + 1), sizeof *logits);
        for (size_t n = 0; n < 3 * (size_t)shape.inputs; n++)
            frames[n] = n % 2 ? -2 : 1;
        if (!sparseflow_run_sequences(model, 2, lengths, frames, NULL, NULL, outputs, &error))
            if (!sparseflow_run_logits(model, 3, outputs, logits, &error))
                largest(model, outputs, (uint32_t)count % 9);
        free(frames);
        free(outputs);
        free(logits);
    }
    sparseflow_run_close(model);
    return 0;
}
