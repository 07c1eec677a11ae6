/* The container around a model: tensors by name and our header, its checksum verified. */
#ifndef SPARSEFLOW_CONTAINER_H
#define SPARSEFLOW_CONTAINER_H

#include "../sparseflow_run.h"
#include "json.h"

struct container {
    struct json outer, header;
    const uint8_t *data; /* of all tensors */
    size_t size;
    size_t whole; /* bytes of the file */
};

int32_t container_read(struct container *c, const uint8_t *bytes, size_t count,
                       struct sparseflow_run_error *error);
void container_free(struct container *c);

/* Bytes of a tensor if its type ("U8", "I64", "F64") and shape are these, one or two axes; else an
 * error. `axes[1]` of -1: one axis. */
int32_t container_tensor(const struct container *c, const char *name, const char *type,
                         const int64_t axes[2], const uint8_t **bytes,
                         struct sparseflow_run_error *error);

struct file_head;

/* The tensors of a head in planes, whose shifts are known; screen.c. */
int32_t screen_read(const struct container *c, struct file_head *head,
                    struct sparseflow_run_error *error);

#endif
