/* runner kernels                       names of the kernels of this CPU
 * runner MODEL KERNEL LENGTH... < F    states of sequences: hidden, cell, outputs, int32
 * runner MODEL KERNEL step < F         the same by steps of one stream, outputs only
 * runner MODEL KERNEL top K < S        the K largest logits of outputs S: of each its indices,
 *                                      logits, and what they cost
 * KERNEL may be followed by a colon and a number of threads. Frames F come as int32 on the standard input. */
#include <sparseflow_run.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct sparseflow_run_error *error)
{
    fprintf(stderr, "error: %s\n", error->text);
    return 2;
}

static int steps(struct sparseflow_run_model *model, struct sparseflow_run_shape shape)
{
    struct sparseflow_run_stream *stream;
    struct sparseflow_run_error error;
    if (sparseflow_run_start(model, 1, &stream, &error))
        return fail(&error);
    int32_t *frame = calloc(shape.inputs, sizeof *frame);
    int32_t *output = calloc(shape.outputs, sizeof *output);
    int code = 0;
    while (!code && fread(frame, sizeof *frame, shape.inputs, stdin) == shape.inputs) {
        if (sparseflow_run_step(stream, frame, output, &error))
            code = fail(&error);
        else
            fwrite(output, sizeof *output, shape.outputs, stdout);
    }
    free(frame);
    free(output);
    sparseflow_run_end(stream);
    return code;
}

static int top(struct sparseflow_run_model *model, struct sparseflow_run_shape shape, uint32_t k)
{
    struct sparseflow_run_error error;
    struct sparseflow_run_read read;
    uint32_t indices[8];
    int64_t logits[8];
    int32_t *output = calloc(shape.outputs, sizeof *output);
    int code = 0;
    while (!code && fread(output, sizeof *output, shape.outputs, stdin) == shape.outputs) {
        if (sparseflow_run_top(model, 1, output, k, 0, indices, logits, &read, &error))
            code = fail(&error);
        fwrite(indices, sizeof *indices, k, stdout);
        fwrite(logits, sizeof *logits, k, stdout);
        fwrite(&read.first, sizeof read.first, 3, stdout);
        fwrite(&read.bytes, sizeof read.bytes, 1, stdout);
    }
    free(output);
    return code;
}

static int sequences(struct sparseflow_run_model *model, struct sparseflow_run_shape shape,
                     size_t count, char **words)
{
    struct sparseflow_run_error error;
    size_t *lengths = calloc(count + 1, sizeof *lengths), total = 0;
    for (size_t n = 0; n < count; n++)
        total += lengths[n] = strtoul(words[n], NULL, 10);
    int32_t *frames = calloc(total * shape.inputs + 1, sizeof *frames);
    int32_t *hidden = calloc(total * shape.units + 1, sizeof *hidden);
    int32_t *cell = calloc(total * shape.units + 1, sizeof *cell);
    int32_t *outputs = calloc(total * shape.outputs + 1, sizeof *outputs);
    size_t got = fread(frames, sizeof *frames, total * shape.inputs, stdin);
    int code = got != total * shape.inputs ? 3 : 0;
    if (!code &&
        sparseflow_run_sequences(model, count, lengths, frames, hidden, cell, outputs, &error))
        code = fail(&error);
    if (!code) {
        fwrite(hidden, sizeof *hidden, total * shape.units, stdout);
        fwrite(cell, sizeof *cell, total * shape.units, stdout);
        fwrite(outputs, sizeof *outputs, total * shape.outputs, stdout);
    }
    free(lengths);
    free(frames);
    free(hidden);
    free(cell);
    free(outputs);
    return code;
}

int main(int count, char **words)
{
    struct sparseflow_run_model *model;
    struct sparseflow_run_shape shape;
    struct sparseflow_run_error error;
    const char *name;
    if (count == 2) {
        for (uint32_t n = 0; (name = sparseflow_run_kernel(n)) != NULL; n++)
            puts(name);
        return 0;
    }
    struct sparseflow_run_options options = {.kernel = words[2]};
    char *colon = strchr(words[2], ':');
    if (colon) {
        options.threads = (uint32_t)strtoul(colon + 1, NULL, 10);
        *colon = 0;
    }
    if (sparseflow_run_open(words[1], &options, &model, &error))
        return fail(&error);
    sparseflow_run_shape(model, &shape);
    int code;
    if (count == 4 && !strcmp(words[3], "step"))
        code = steps(model, shape);
    else if (count == 5 && !strcmp(words[3], "top"))
        code = top(model, shape, (uint32_t)strtoul(words[4], NULL, 10));
    else
        code = sequences(model, shape, (size_t)count - 3, words + 3);
    sparseflow_run_close(model);
    return code;
}
