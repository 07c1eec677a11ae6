#include "container.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "sha256.h"

#define NEWEST 5 /* format version; 2 brought k of each gate, 3 heads in planes, 4 rows and shifts, \
                    5 heads of several layers */
#define MOST_HEADER ((uint64_t)16 << 20)
#define DIGEST 64
#define AGAIN "fetch or save the file again"

static const char MARK[] = "\\\"sha256\\\":\\\"";

static int32_t bad(struct sparseflow_run_error *error, const char *text)
{
    return file_error(error, SPARSEFLOW_RUN_FORMAT, "%s", text);
}

/* Where the digits of the checksum stand: behind the last mark of the header; 0 without one. */
static size_t digest_place(const uint8_t *bytes, size_t end)
{
    size_t length = sizeof MARK - 1;
    if (end < length)
        return 0;
    for (size_t at = end - length; at > 8; at--)
        if (!memcmp(bytes + at, MARK, length))
            return end - at - length >= DIGEST ? at + length : 0;
    return 0;
}

static int digest_right(const struct json_node *given, const uint8_t *bytes, size_t count,
                        size_t at)
{
#ifdef SPARSEFLOW_RUN_ANY_CHECKSUM /* for fuzzing */
    return 1;
#endif
    char zeros[DIGEST], found[DIGEST];
    struct sha256 s;
    memset(zeros, '0', DIGEST);
    sha256_begin(&s);
    sha256_add(&s, bytes, at);
    sha256_add(&s, zeros, DIGEST);
    sha256_add(&s, bytes + at + DIGEST, count - at - DIGEST);
    sha256_end(&s, found);
    return given && given->kind == JSON_TEXT && given->text_length == DIGEST &&
           !memcmp(given->text, found, DIGEST);
}

static int32_t integer_of(const struct json_node *node, int64_t *value)
{
    if (!node || node->kind != JSON_INTEGER)
        return 0;
    *value = node->number;
    return 1;
}

static int32_t check_version(const struct container *c, struct sparseflow_run_error *error)
{
    const struct json_node *root = &c->header.nodes[0];
    int64_t version;
    if (!json_member(&c->header, root, "kind") &&
        json_member(&c->header, root, "sparsity_requested"))
        return bad(error, "it is a pruned checkpoint, not a model file: pack it first, `sparseflow "
                          "pack CHECKPOINT --calibration DATA --out model.safetensors`");
    if (!integer_of(json_member(&c->header, root, "format_version"), &version) || version < 1)
        return bad(error, "its header has no format_version: " AGAIN);
    if (version > NEWEST)
        return file_error(error, SPARSEFLOW_RUN_FORMAT,
                          "format version %lld is newer than %d, the newest that this library "
                          "reads: build a newer one",
                          (long long)version, NEWEST);
    if (!json_is(json_member(&c->header, root, "kind"), "model"))
        return bad(error, "it holds no model: give a file that sparseflow pack wrote");
    return SPARSEFLOW_RUN_OK;
}

/* Tensors lie side by side and fill the rest of the file, as the container's form demands. */
static int tensors_right(const struct container *c)
{
    const struct json *j = &c->outer;
    uint64_t filled = 0;
    const struct json_node *n = json_first(j, &j->nodes[0]);
    for (; n; n = json_next(j, n)) {
        if (n->key_length == 12 && !memcmp(n->key, "__metadata__", 12))
            continue;
        const struct json_node *span = json_member(j, n, "data_offsets");
        const struct json_node *from = json_first(j, span);
        const struct json_node *to = from ? json_next(j, from) : NULL;
        int64_t a, b;
        if (!span || span->kind != JSON_ARRAY || span->count != 2 || !integer_of(from, &a) ||
            !integer_of(to, &b) || a < 0 || b < a || (uint64_t)b > c->size)
            return 0;
        filled += (uint64_t)(b - a);
    }
    return filled == c->size;
}

static int32_t parse_header(struct container *c, struct sparseflow_run_error *error)
{
    const struct json_node *meta = json_member(&c->outer, &c->outer.nodes[0], "__metadata__");
    const struct json_node *text = json_member(&c->outer, meta, "sparseflow");
    if (!text || text->kind != JSON_TEXT)
        return bad(error, "no 'sparseflow' header in its metadata: a safetensors file of another "
                          "program; a checkpoint becomes a model by `sparseflow pack`");
    const char *wrong = json_parse(&c->header, text->text, text->text_length);
    if (wrong || c->header.nodes[0].kind != JSON_OBJECT)
        return file_error(error, SPARSEFLOW_RUN_FORMAT, "its header %s: " AGAIN,
                          wrong ? wrong : "is no object");
    return check_version(c, error);
}

int32_t container_read(struct container *c, const uint8_t *bytes, size_t count,
                       struct sparseflow_run_error *error)
{
    uint64_t length = 0;
    memset(c, 0, sizeof *c);
    if (count >= 8)
        memcpy(&length, bytes, 8);
    if (count < 10 || length > count - 8)
        return bad(error, "no safetensors file, or a truncated or damaged one: fetch or save it "
                          "again");
    if (length > MOST_HEADER)
        return bad(error, "its header is larger than 16 MB, which no model of ours has: " AGAIN);
    size_t end = 8 + (size_t)length;
    const char *wrong = json_parse(&c->outer, (const char *)bytes + 8, (size_t)length);
    c->data = bytes + end;
    c->size = count - end;
    c->whole = count;
    if (wrong || c->outer.nodes[0].kind != JSON_OBJECT)
        return file_error(error, SPARSEFLOW_RUN_FORMAT,
                          "no safetensors file, or a damaged one (its header %s): fetch or save "
                          "it again",
                          wrong ? wrong : "is no object");
    int32_t code = parse_header(c, error);
    if (code)
        return code;
    size_t at = digest_place(bytes, end);
    const struct json_node *given = json_member(&c->header, &c->header.nodes[0], "sha256");
    if (!at || !digest_right(given, bytes, count, at))
        return bad(error, "checksum does not match: the file is damaged; fetch or save it again");
    if (!tensors_right(c))
        return bad(error, "its tensors do not fill it: " AGAIN);
    return SPARSEFLOW_RUN_OK;
}

void container_free(struct container *c)
{
    json_free(&c->outer);
    json_free(&c->header);
}

static int shape_is(const struct json *j, const struct json_node *shape, const int64_t axes[2])
{
    uint32_t count = axes[1] < 0 ? 1 : 2;
    if (!shape || shape->kind != JSON_ARRAY || shape->count != count)
        return 0;
    const struct json_node *n = json_first(j, shape);
    for (uint32_t axis = 0; axis < count; axis++, n = json_next(j, n)) {
        int64_t size;
        if (!integer_of(n, &size) || size != axes[axis])
            return 0;
    }
    return 1;
}

int32_t container_tensor(const struct container *c, const char *name, const char *type,
                         const int64_t axes[2], const uint8_t **bytes,
                         struct sparseflow_run_error *error)
{
    const struct json *j = &c->outer;
    const struct json_node *node = json_member(j, &j->nodes[0], name);
    if (!node)
        return file_error(error, SPARSEFLOW_RUN_FORMAT, "tensor '%s' is missing: " AGAIN, name);
    const struct json_node *span = json_member(j, node, "data_offsets");
    const struct json_node *from = json_first(j, span);
    int64_t size = axes[1] < 0 ? axes[0] : axes[0] * axes[1];
    size *= type[0] == 'U' ? 1 : 8;
    if (!json_is(json_member(j, node, "dtype"), type) ||
        !shape_is(j, json_member(j, node, "shape"), axes) ||
        json_next(j, from)->number - from->number != size)
        return file_error(error, SPARSEFLOW_RUN_FORMAT,
                          "tensor '%s' has not the type and shape that its header needs: " AGAIN,
                          name);
    *bytes = c->data + from->number;
    return SPARSEFLOW_RUN_OK;
}
