#include "json.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    struct json *json;
    const char *at, *end;
    char *out;
    const char *wrong;
};

static void skip(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static int fail(struct reader *r, const char *why)
{
    if (!r->wrong)
        r->wrong = why;
    return 0;
}

static int expect(struct reader *r, char c)
{
    if (r->at >= r->end || *r->at != c)
        return fail(r, "is no JSON");
    r->at++;
    return 1;
}

/* Index of a new node; 0 on failure, which no node but the root has. */
static uint32_t node_of(struct reader *r, enum json_kind kind)
{
    struct json *j = r->json;
    if (j->count == j->room) {
        uint32_t room = j->room ? 2 * j->room : 64;
        struct json_node *more = NULL;
        if (room <= JSON_NODES)
            more = realloc(j->nodes, room * sizeof *more);
        if (!more) {
            fail(r, "has too many values");
            return 0;
        }
        j->nodes = more;
        j->room = room;
    }
    memset(&j->nodes[j->count], 0, sizeof *j->nodes);
    j->nodes[j->count].kind = kind;
    return j->count++;
}

static int hex(struct reader *r, uint32_t *code)
{
    *code = 0;
    for (int n = 0; n < 4; n++, r->at++) {
        char c = r->at < r->end ? *r->at : 0;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return fail(r, "has a wrong escape");
        *code = *code << 4 | (uint32_t)digit;
    }
    return 1;
}

static void put_utf8(struct reader *r, uint32_t code)
{
    if (code < 0x80) {
        *r->out++ = (char)code;
    } else if (code < 0x800) {
        *r->out++ = (char)(0xC0 | code >> 6);
        *r->out++ = (char)(0x80 | (code & 63));
    } else {
        *r->out++ = (char)(0xE0 | code >> 12);
        *r->out++ = (char)(0x80 | (code >> 6 & 63));
        *r->out++ = (char)(0x80 | (code & 63));
    }
}

static int escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : 0;
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        *r->out++ = to[found - from];
        return 1;
    }
    uint32_t code;
    if (c != 'u')
        return fail(r, "has a wrong escape");
    if (!hex(r, &code))
        return 0;
    put_utf8(r, code); /* halves of a pair one by one: no name of ours has any */
    return 1;
}

/* What comes out is never longer than what goes in. */
static int string(struct reader *r, const char **text, size_t *length)
{
    if (!expect(r, '"'))
        return 0;
    char *begin = r->out;
    while (r->at < r->end && *r->at != '"') {
        unsigned char c = (unsigned char)*r->at++;
        if (c < 0x20)
            return fail(r, "has a control character in a string");
        if (c != '\\')
            *r->out++ = (char)c;
        else if (!escape(r))
            return 0;
    }
    *text = begin;
    *length = (size_t)(r->out - begin);
    if (!expect(r, '"'))
        return 0;
    *r->out++ = 0; /* in the place of the quote */
    return 1;
}

static int digits(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

/* A number by JSON's grammar; its value where it is whole and has at most 18 digits. */
static int number(struct reader *r, uint32_t at)
{
    int negative = *r->at == '-';
    r->at += negative;
    const char *from = r->at;
    if (!digits(r) || (*from == '0' && r->at - from > 1))
        return fail(r, "has a malformed number");
    const char *to = r->at;
    int whole = to - from <= 18;
    if (r->at < r->end && *r->at == '.') {
        whole = 0;
        r->at++;
        if (!digits(r))
            return fail(r, "has a malformed number");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        whole = 0;
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (!digits(r))
            return fail(r, "has a malformed number");
    }
    int64_t value = 0;
    for (; whole && from < to; from++)
        value = 10 * value + (*from - '0');
    r->json->nodes[at].kind = whole ? JSON_INTEGER : JSON_REAL;
    r->json->nodes[at].number = negative ? -value : value;
    return 1;
}

static int word(struct reader *r, const char *text)
{
    size_t length = strlen(text);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, text, length))
        return fail(r, "is no JSON");
    r->at += length;
    return 1;
}

static uint32_t value(struct reader *r, int depth);

static int known(const struct json *j, uint32_t parent, const char *key, size_t length)
{
    for (uint32_t n = j->nodes[parent].child; n; n = j->nodes[n].next)
        if (j->nodes[n].key_length == length && !memcmp(j->nodes[n].key, key, length))
            return 1;
    return 0;
}

/* Members of an object or elements of an array, behind the opening bracket. */
static int members(struct reader *r, uint32_t parent, int depth)
{
    int object = r->json->nodes[parent].kind == JSON_OBJECT;
    char close = object ? '}' : ']';
    uint32_t last = 0;
    skip(r);
    if (r->at < r->end && *r->at == close)
        return expect(r, close);
    for (;;) {
        const char *key = NULL;
        size_t length = 0;
        skip(r);
        if (object) {
            if (!string(r, &key, &length))
                return 0;
            if (r->json->nodes[parent].count == JSON_KEYS)
                return fail(r, "has too many values");
            if (known(r->json, parent, key, length))
                return fail(r, "has a key twice");
            skip(r);
            if (!expect(r, ':'))
                return 0;
        }
        uint32_t child = value(r, depth + 1);
        if (!child)
            return 0;
        struct json_node *nodes = r->json->nodes;
        nodes[child].key = key;
        nodes[child].key_length = length;
        if (last)
            nodes[last].next = child;
        else
            nodes[parent].child = child;
        nodes[parent].count++;
        last = child;
        skip(r);
        if (r->at < r->end && *r->at == close)
            return expect(r, close);
        if (!expect(r, ','))
            return 0;
    }
}

/* Index of the value's node: 0 is the root's, and of a value inside it says that all failed. */
static uint32_t value(struct reader *r, int depth)
{
    skip(r);
    if (r->at >= r->end || depth > JSON_DEPTH) {
        fail(r, depth > JSON_DEPTH ? "is nested too deeply" : "ends too early");
        return 0;
    }
    char c = *r->at;
    enum json_kind kind = c == '{'                             ? JSON_OBJECT
                          : c == '['                           ? JSON_ARRAY
                          : c == '"'                           ? JSON_TEXT
                          : c == '-' || (c >= '0' && c <= '9') ? JSON_INTEGER
                          : c == 'n'                           ? JSON_NULL
                                                               : JSON_BOOL;
    uint32_t at = node_of(r, kind);
    if (r->wrong)
        return 0;
    int good;
    if (kind == JSON_OBJECT || kind == JSON_ARRAY) {
        r->at++;
        good = members(r, at, depth);
    } else if (kind == JSON_TEXT) {
        const char *text = NULL;
        size_t length = 0;
        good = string(r, &text, &length);
        r->json->nodes[at].text = text;
        r->json->nodes[at].text_length = length;
    } else if (kind == JSON_INTEGER) {
        good = number(r, at);
    } else {
        r->json->nodes[at].number = c == 't';
        good = word(r, c == 'n' ? "null" : c == 't' ? "true" : "false");
    }
    return good ? at : 0;
}

const char *json_parse(struct json *json, const char *text, size_t length)
{
    memset(json, 0, sizeof *json);
    json->texts = malloc(length + 1);
    if (!json->texts)
        return "takes more memory than there is";
    struct reader r = {json, text, text + length, json->texts, NULL};
    value(&r, 0);
    if (!r.wrong) {
        skip(&r);
        if (r.at != r.end)
            fail(&r, "goes on behind its end");
    }
    return r.wrong;
}

void json_free(struct json *json)
{
    free(json->nodes);
    free(json->texts);
    memset(json, 0, sizeof *json);
}

const struct json_node *json_first(const struct json *json, const struct json_node *node)
{
    return node && node->child ? &json->nodes[node->child] : NULL;
}

const struct json_node *json_next(const struct json *json, const struct json_node *node)
{
    return node->next ? &json->nodes[node->next] : NULL;
}

const struct json_node *json_member(const struct json *json, const struct json_node *node,
                                    const char *key)
{
    size_t length = strlen(key);
    if (!node || node->kind != JSON_OBJECT)
        return NULL;
    const struct json_node *n = json_first(json, node);
    for (; n; n = json_next(json, n))
        if (n->key_length == length && !memcmp(n->key, key, length))
            return n;
    return NULL;
}

int json_is(const struct json_node *node, const char *text)
{
    size_t length = strlen(text);
    return node && node->kind == JSON_TEXT && node->text_length == length &&
           !memcmp(node->text, text, length);
}
