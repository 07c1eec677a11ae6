/* The work behind products, on vectors of as many lanes as a register of the kernel holds.
 *
 * Every kernel includes this once, under its instruction set, with VEC, MIN, MAX and LOOK_UP
 * defined. The arithmetic is that of csb_format.cells.lstm, for 6 to 16 bits, in 32 bits
 * throughout but for sums that need 64. Unsigned vectors wrap around, as sums modulo 2**32 must. */
#include <string.h>

#include "../run/layer.h"

typedef int32_t vec __attribute__((vector_size(4 * VEC)));
typedef uint32_t uvec __attribute__((vector_size(4 * VEC)));
typedef int32_t half __attribute__((vector_size(2 * VEC)));
typedef int64_t longs __attribute__((vector_size(4 * VEC)));
typedef uint64_t ulongs __attribute__((vector_size(4 * VEC)));

#define INLINE static inline __attribute__((always_inline))

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

INLINE longs read_wide(const int32_t *from)
{
    half v;
    memcpy(&v, from, sizeof v);
    return __builtin_convertvector(v, longs);
}

INLINE vec every(int32_t value)
{
    return (vec){0} + value;
}

INLINE vec clip(vec v, int32_t most)
{
    return MAX(MIN(v, every(most)), every(-most - 1));
}

/* A value with the sign of `sign`, which is 0 or -1. */
INLINE vec signed_as(vec size, vec sign)
{
    return (size ^ sign) - sign;
}

/* The sum of a row's digits, modulo 2**32: right wherever the sum itself fits. */
INLINE uvec narrow_sums(const int32_t *sums, uint32_t digits)
{
    uvec total = (uvec)read(sums);
    if (digits > 1)
        total += (uvec)read(sums + BLOCK) << 8;
    if (digits > 2)
        total += (uvec)read(sums + 2 * BLOCK) << 16;
    return total;
}

INLINE ulongs wide_sums(const int32_t *sums, uint32_t digits)
{
    ulongs total = (ulongs)read_wide(sums);
    if (digits > 1)
        total += (ulongs)read_wide(sums + BLOCK) << 8;
    if (digits > 2)
        total += (ulongs)read_wide(sums + 2 * BLOCK) << 16;
    return total;
}

INLINE void write_clipped(int32_t *to, longs v, int64_t most)
{
    longs top = (longs){0} + most, above = v > top, below = v < ~top;
    half found = __builtin_convertvector((top & above) | (~top & below) | (v & ~(above | below)),
                                         half);
    memcpy(to, &found, sizeof found);
}

/* Both products of some rows of a gate. */
struct sums {
    const int32_t *ih, *hh;
    uint32_t ih_digits, hh_digits;
};

INLINE vec narrow_gate(const struct cells *k, int gate, size_t at, size_t lane, struct sums s)
{
    uvec total = narrow_sums(s.ih + lane, s.ih_digits) << k->left_ih[gate];
    total += narrow_sums(s.hh + lane, s.hh_digits) << k->left_hh[gate];
    total += (uvec)read(k->add + at + lane);
    return clip((vec)total >> k->right[gate], (1 << (k->bits + 1)) - 1);
}

/* What lies above the lowest digit. */
INLINE uvec upper_sums(const int32_t *sums, uint32_t digits)
{
    uvec total = {0};
    if (digits > 1)
        total += (uvec)read(sums + BLOCK);
    if (digits > 2)
        total += (uvec)read(sums + 2 * BLOCK) << 8;
    return total;
}

/* (low + 256 * high) >> right, right at least 8; only the lowest digits must fit. */
INLINE vec split(uvec low, uvec high, int32_t right)
{
    return (vec)(high + (uvec)((vec)low >> 8)) >> (right - 8);
}

INLINE vec split_gate(const struct cells *k, int gate, size_t at, size_t lane, struct sums s)
{
    uvec low = (uvec)read(s.ih + lane) << k->left_ih[gate];
    uvec high = upper_sums(s.ih + lane, s.ih_digits) << k->left_ih[gate];
    low += ((uvec)read(s.hh + lane) << k->left_hh[gate]) + (uvec)read(k->add_low + at + lane);
    high += upper_sums(s.hh + lane, s.hh_digits) << k->left_hh[gate];
    high += (uvec)read(k->add + at + lane);
    vec v = split(low, high, k->right[gate]) + read(k->bias + at + lane);
    return clip(v, (1 << (k->bits + 1)) - 1);
}

static __attribute__((noinline)) void wide_gate(const struct cells *k, int gate, size_t at,
                                                struct sums s, int32_t *pre)
{
    int64_t most = ((int64_t)1 << (k->bits + 1)) - 1;
    for (size_t lane = 0; lane < LANES; lane += VEC / 2) {
        ulongs add, total = wide_sums(s.ih + lane, s.ih_digits) << k->left_ih[gate];
        memcpy(&add, k->add_wide + at + lane, sizeof add);
        total += (wide_sums(s.hh + lane, s.hh_digits) << k->left_hh[gate]) + add;
        longs v = ((longs)total >> k->right[gate]) + read_wide(k->bias + at + lane);
        write_clipped(pre + lane, v, most);
    }
}

/* A kernel may look up all gates at once. */
#ifndef LOOK_UP_GATES
#define LOOK_UP_GATES(k, at, entry)                                                            \
    for (int gate = 0; gate < GATES; gate++)                                                   \
    (entry)[gate] = LOOK_UP((k)->table, (at)[gate])
#endif

/* The table's argument of a state: its magnitude, twice that for tanh. */
INLINE vec argument(const struct cells *k, vec x, int tanh)
{
    return MIN(signed_as(x, x >> 31) << tanh, every(k->last));
}

/* The line of a segment at an argument. */
INLINE vec magnitude(const struct cells *k, vec z, uvec entry)
{
    vec at = z & ((1 << k->offset_bits) - 1), rise = (vec)(entry & ((1u << k->rise_bits) - 1));
    vec more = (rise * at + (1 << (k->offset_bits - 1))) >> k->offset_bits;
    return (vec)(entry >> k->rise_bits) + more;
}

INLINE vec sigmoid(const struct cells *k, vec x, vec z, uvec entry)
{
    vec m = signed_as(magnitude(k, z, entry), x >> 31);
    return MIN((m + ((1 << (k->bits + 1)) + 4)) >> 3, every((1 << (k->bits - 1)) - 1));
}

INLINE vec tanh_of(const struct cells *k, vec x, vec z, uvec entry)
{
    vec size = (magnitude(k, z, entry) + 2) >> 2;
    return signed_as(MIN(size, every((1 << (k->bits - 1)) - 1)), x >> 31);
}

/* round(x * y / 2**shift), y in two parts so that 32 bits hold all; shift at least 5. */
INLINE vec product_of(vec x, vec y, int32_t shift)
{
    vec low = x * (y & 15) + (1 << (shift - 1));
    return (x * (y >> 4) + (low >> 4)) >> (shift - 4);
}

/* From sums r, z, n of the input and n of the state to what is kept, h with two bits more. */
INLINE void gru(const struct cells *k, const vec pre[GATES], int32_t *kept, int32_t *h)
{
    int32_t a = k->bits;
    vec zr = argument(k, pre[0], 0), zz = argument(k, pre[1], 0);
    vec r = sigmoid(k, pre[0], zr, LOOK_UP(k->table, zr >> k->offset_bits));
    vec z = sigmoid(k, pre[1], zz, LOOK_UP(k->table, zz >> k->offset_bits));
    vec sum = clip(pre[2] + product_of(r, pre[3], a - 1), (1 << (a + 1)) - 1);
    vec zn = argument(k, sum, 1);
    vec n = tanh_of(k, sum, zn, LOOK_UP(k->table, zn >> k->offset_bits)) << 2;
    vec new = n + product_of(z, read(kept) - n, a - 1);
    write(kept, new);
    write(h, clip((new + 2) >> 2, (1 << (a - 1)) - 1));
}

/* From pre-activations of i, f, g, o to cells and hidden states. */
INLINE void lstm(const struct cells *k, const vec pre[GATES], int32_t *c, int32_t *h)
{
    int32_t a = k->bits;
    vec z[GATES], at[GATES];
    uvec entry[GATES];
    for (int gate = 0; gate < GATES; gate++) {
        z[gate] = argument(k, pre[gate], gate == 2);
        at[gate] = z[gate] >> k->offset_bits;
    }
    LOOK_UP_GATES(k, at, entry);
    vec i = sigmoid(k, pre[0], z[0], entry[0]), f = sigmoid(k, pre[1], z[1], entry[1]);
    vec g = tanh_of(k, pre[2], z[2], entry[2]), o = sigmoid(k, pre[3], z[3], entry[3]);
    /* (f * c << lift) + i * g, rounded, c in two parts so that 32 bits hold all. */
    int32_t lift = k->lift;
    vec old = read(c), low = ((f * (old & 15)) << lift) + i * g + (1 << (a - 2 + lift));
    vec new = clip((f * (old >> 4) + (low >> (4 + lift))) >> (a - 5), (1 << (a + 1)) - 1);
    write(c, new);
    vec last = argument(k, new, 1);
    vec product = o * tanh_of(k, new, last, LOOK_UP(k->table, last >> k->offset_bits));
    write(h, clip((product + (1 << (a - 2))) >> (a - 1), (1 << (a - 1)) - 1));
}

static void finish(const struct cells *k, uint32_t block, const int32_t *ih, uint32_t ih_digits,
                   const int32_t *hh, uint32_t hh_digits, int32_t *c, int32_t *h)
{
    int32_t kept[GATES][LANES];
    for (int gate = 0; k->reach == WIDE_SUMS && gate < GATES; gate++) {
        size_t at = (size_t)block * BLOCK + (size_t)gate * LANES;
        struct sums s = {ih + gate * LANES, hh + gate * LANES, ih_digits, hh_digits};
        wide_gate(k, gate, at, s, kept[gate]);
    }
    for (size_t lane = 0; lane < LANES; lane += VEC) {
        vec pre[GATES];
        for (int gate = 0; gate < GATES; gate++) {
            size_t at = (size_t)block * BLOCK + (size_t)gate * LANES;
            struct sums s = {ih + gate * LANES, hh + gate * LANES, ih_digits, hh_digits};
            pre[gate] = k->reach == NARROW_SUMS  ? narrow_gate(k, gate, at, lane, s)
                        : k->reach == SPLIT_SUMS ? split_gate(k, gate, at, lane, s)
                                                 : read(kept[gate] + lane);
        }
        if (k->cell == CELL_GRU)
            gru(k, pre, c + lane, h + lane);
        else
            lstm(k, pre, c + lane, h + lane);
    }
}

/* Of a GRU whose reset comes first: r * h, rounded once, and z. */
INLINE void reset_unit(const struct cells *k, vec pre_r, vec pre_z, const int32_t *kept,
                       int32_t *reset, int32_t *z)
{
    vec zr = argument(k, pre_r, 0), zz = argument(k, pre_z, 0);
    vec r = sigmoid(k, pre_r, zr, LOOK_UP(k->table, zr >> k->offset_bits));
    write(reset, product_of(r, read(kept), k->bits + 1));
    write(z, sigmoid(k, pre_z, zz, LOOK_UP(k->table, zz >> k->offset_bits)));
}

/* What is known of the sums of n before r * h is: the input's, rounding and offsets. */
static void part_of(const struct cells *k, size_t at, struct sums s, int64_t *part)
{
    for (size_t lane = 0; k->reach == NARROW_SUMS && lane < LANES; lane += VEC) {
        uvec total = narrow_sums(s.ih + lane, s.ih_digits) << k->left_ih[2];
        write((int32_t *)part + lane, (vec)(total + (uvec)read(k->add + at + lane)));
    }
    for (size_t lane = 0; k->reach != NARROW_SUMS && lane < LANES; lane += VEC / 2) {
        ulongs add;
        memcpy(&add, k->add_wide + at + lane, sizeof add);
        add += wide_sums(s.ih + lane, s.ih_digits) << k->left_ih[2];
        memcpy(part + lane, &add, sizeof add);
    }
}

static void reset(const struct cells *k, uint32_t block, const int32_t *ih, uint32_t ih_digits,
                  const int32_t *hh, uint32_t hh_digits, const int32_t *c, int32_t *found,
                  int32_t *z, int64_t *part)
{
    int32_t pre[2][LANES];
    size_t at = (size_t)block * BLOCK;
    for (int gate = 0; gate < 2; gate++) {
        struct sums s = {ih + gate * LANES, hh + gate * LANES, ih_digits, hh_digits};
        size_t first = at + (size_t)gate * LANES;
        for (size_t lane = 0; k->reach == NARROW_SUMS && lane < LANES; lane += VEC)
            write(pre[gate] + lane, narrow_gate(k, gate, first, lane, s));
        if (k->reach != NARROW_SUMS)
            wide_gate(k, gate, first, s, pre[gate]);
    }
    for (size_t lane = 0; lane < LANES; lane += VEC)
        reset_unit(k, read(pre[0] + lane), read(pre[1] + lane), c + lane, found + lane, z + lane);
    part_of(k, at + 2 * LANES, (struct sums){ih + 2 * LANES, NULL, ih_digits, 0}, part);
}

/* The pre-activations of n of 16 units; `at` is where their constants are. */
static void last_gate(const struct cells *k, size_t at, const int32_t *hn, uint32_t digits,
                      const int64_t *part, int32_t *pre)
{
    int64_t most = ((int64_t)1 << (k->bits + 1)) - 1;
    for (size_t lane = 0; k->reach == NARROW_SUMS && lane < LANES; lane += VEC) {
        uvec total = narrow_sums(hn + lane, digits) << k->left_hh[2];
        total += (uvec)read((const int32_t *)part + lane);
        write(pre + lane, clip((vec)total >> k->right[2], (int32_t)most));
    }
    for (size_t lane = 0; k->reach != NARROW_SUMS && lane < LANES; lane += VEC / 2) {
        ulongs total;
        memcpy(&total, part + lane, sizeof total);
        total += wide_sums(hn + lane, digits) << k->left_hh[2];
        longs v = ((longs)total >> k->right[2]) + read_wide(k->bias + at + lane);
        write_clipped(pre + lane, v, most);
    }
}

static void renew(const struct cells *k, uint32_t block, const int32_t *hn, uint32_t digits,
                  const int32_t *z, const int64_t *part, int32_t *c, int32_t *h)
{
    int32_t a = k->bits, pre[LANES];
    for (size_t first = 0; first < BLOCK; first += LANES) {
        size_t at = ((size_t)block * GROUPS + first / LANES) * BLOCK + 2 * LANES;
        if (at >= k->rows)
            return;
        last_gate(k, at, hn + first, digits, part + first, pre);
        for (size_t lane = 0; lane < LANES; lane += VEC) {
            size_t unit = first + lane;
            vec x = read(pre + lane), zn = argument(k, x, 1);
            vec n = tanh_of(k, x, zn, LOOK_UP(k->table, zn >> k->offset_bits)) << 2;
            vec new = n + product_of(read(z + unit), read(c + unit) - n, a - 1);
            write(c + unit, new);
            write(h + unit, clip((new + 2) >> 2, (1 << (a - 1)) - 1));
        }
    }
}

static __attribute__((noinline)) void wide_project(const struct projection *p, size_t at,
                                                   const int32_t *sums, uint32_t digits,
                                                   int32_t *out)
{
    int64_t most = p->most;
    for (size_t lane = 0; lane < BLOCK; lane += VEC / 2) {
        ulongs add;
        memcpy(&add, p->add_wide + at + lane, sizeof add);
        longs v = (longs)((wide_sums(sums + lane, digits) << p->left) + add) >> p->right;
        write_clipped(out + lane, v, most);
    }
}

INLINE vec narrow_row(const struct projection *p, size_t at, const int32_t *sums, uint32_t digits)
{
    return (vec)((narrow_sums(sums, digits) << p->left) + (uvec)read(p->add + at)) >> p->right;
}

INLINE vec split_row(const struct projection *p, size_t at, const int32_t *sums, uint32_t digits)
{
    uvec low = ((uvec)read(sums) << p->left) + (uvec)read(p->add_low + at);
    uvec high = (upper_sums(sums, digits) << p->left) + (uvec)read(p->add + at);
    return split(low, high, p->right);
}

static void project(const struct projection *p, uint32_t block, const int32_t *sums,
                    uint32_t digits, int32_t *out)
{
    size_t at = (size_t)block * BLOCK;
    if (p->reach == WIDE_SUMS) {
        wide_project(p, at, sums, digits, out);
        return;
    }
    for (size_t lane = 0; lane < BLOCK; lane += VEC) {
        vec v = p->reach == NARROW_SUMS ? narrow_row(p, at + lane, sums + lane, digits)
                                        : split_row(p, at + lane, sums + lane, digits);
        write(out + lane, clip(v, p->most));
    }
}

static void spread(const struct planes *p, const int32_t *x, size_t count, uint8_t *to)
{
    uint32_t offset = (uint32_t)p->offset;
    uint8_t low = p->flip[0], high = p->flip[1];
    for (size_t n = 0; n < count; n++)
        to[n] = (uint8_t)(((uint32_t)x[n] + offset) ^ low);
    if (p->count > 1)
        for (size_t n = 0; n < count; n++)
            to[p->stride + n] = (uint8_t)((((uint32_t)x[n] + offset) >> 8) ^ high);
}
