/* A reader of JSON for headers of files that come from outside: bounded in size, depth and
 * number of values; whole numbers only where a number is asked for. */
#ifndef SPARSEFLOW_JSON_H
#define SPARSEFLOW_JSON_H

#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 16
#define JSON_NODES (1u << 18)
#define JSON_KEYS 4096 /* of an object */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INTEGER, JSON_REAL, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };

struct json_node {
    enum json_kind kind;
    uint32_t child, next; /* 0: none; the root is no one's child */
    uint32_t count;       /* of children */
    const char *key, *text;
    size_t key_length, text_length;
    int64_t number;
};

/* All values of a text; the root is nodes[0]. */
struct json {
    struct json_node *nodes;
    uint32_t count, room;
    char *texts; /* strings, escapes resolved, each with a zero behind it */
};

/* NULL, or what is wrong (static); `json` is to be freed in both cases. */
const char *json_parse(struct json *json, const char *text, size_t length);
void json_free(struct json *json);

/* A member of an object by its name; NULL if it is not there, or `node` is no object. */
const struct json_node *json_member(const struct json *json, const struct json_node *node,
                                    const char *key);
const struct json_node *json_first(const struct json *json, const struct json_node *node);
const struct json_node *json_next(const struct json *json, const struct json_node *node);
int json_is(const struct json_node *node, const char *text);

#endif
