/* Sixteen lanes at a time. */
#include <string.h>

#include "learn.h"

typedef int32_t vec __attribute__((vector_size(64)));
typedef int16_t half __attribute__((vector_size(32)));
typedef int64_t longs __attribute__((vector_size(128)));

#define INLINE static inline __attribute__((always_inline))
#define V(value) ((vec){0} + (value))

INLINE vec widened(const int16_t *from)
{
    half v;
    memcpy(&v, from, sizeof v);
    return __builtin_convertvector(v, vec);
}

INLINE void narrowed(int16_t *to, vec v)
{
    half found = __builtin_convertvector(v, half);
    memcpy(to, &found, sizeof found);
}

INLINE vec read(const int32_t *from)
{
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void write(int32_t *to, vec v)
{
    memcpy(to, &v, sizeof v);
}

INLINE vec chosen(vec mask, vec yes, vec no)
{
    return (mask & yes) | (~mask & no);
}

INLINE vec within(vec v, int32_t low, int32_t high)
{
    v = chosen(v > V(high), V(high), v);
    return chosen(v < V(low), V(low), v);
}

INLINE vec rounded(vec v, int32_t shift)
{
    return shift > 0 ? (v + (1 << (shift - 1))) >> shift : shift ? v << -shift : v;
}

/* Lanes from `at` on that have begun: all ones, else 0. */
INLINE vec begun(const struct learn_layer *k, uint32_t step, uint32_t at)
{
    vec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return lane < V(k->live[step] - (int32_t)at);
}

INLINE size_t place(const struct learn_layer *k, size_t element, uint32_t slot, uint32_t lane)
{
    return (element * k->slots + slot) * k->lanes + lane;
}

#ifndef LOOK_UP
INLINE vec looked_up(const int32_t *table, vec at)
{
    vec found;
    for (int n = 0; n < LEARN_LANES; n++)
        found[n] = table[at[n]];
    return found;
}
#define LOOK_UP looked_up
#endif
