/* Counts what is allocated by steps: `model batch threads steps`; linked with --wrap of each. */
#include <sparseflow_run.h>

#include <stdio.h>
#include <stdlib.h>

static size_t count;

void *__real_malloc(size_t size);
void *__real_calloc(size_t number, size_t size);
void *__real_realloc(void *old, size_t size);
int __real_posix_memalign(void **to, size_t by, size_t size);

void *__wrap_malloc(size_t size)
{
    count++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size)
{
    count++;
    return __real_calloc(number, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    count++;
    return __real_realloc(old, size);
}

int __wrap_posix_memalign(void **to, size_t by, size_t size)
{
    count++;
    return __real_posix_memalign(to, by, size);
}

int main(int words, char **word)
{
    struct sparseflow_run_model *model;
    struct sparseflow_run_stream *stream;
    struct sparseflow_run_shape shape;
    struct sparseflow_run_error error;
    if (words != 5)
        return 2;
    unsigned batch = (unsigned)atoi(word[2]);
    struct sparseflow_run_options options = {.threads = (uint32_t)atoi(word[3])};
    if (sparseflow_run_open(word[1], &options, &model, &error) ||
        sparseflow_run_start(model, batch, &stream, &error))
        return fprintf(stderr, "%s\n", error.text), 2;
    sparseflow_run_shape(model, &shape);
    int32_t *frames = calloc((size_t)batch * shape.inputs, sizeof *frames);
    int32_t *outputs = calloc((size_t)batch * shape.outputs, sizeof *outputs);
    printf("%zu", count);
    count = 0;
    for (int n = 0; n < atoi(word[4]); n++)
        if (sparseflow_run_step(stream, frames, outputs, &error))
            return fprintf(stderr, "%s\n", error.text), 2;
    sparseflow_run_reset(stream, 0);
    printf(" %zu\n", count);
    free(frames);
    free(outputs);
    sparseflow_run_end(stream);
    sparseflow_run_close(model);
    return 0;
}
