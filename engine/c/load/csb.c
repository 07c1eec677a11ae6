/* Bit streams of compressed sparse banks; docs/specification.md has their form. */
#include "file.h"

#include <stdlib.h>
#include <string.h>

static int index_bits(int64_t width)
{
    int bits = 0;
    while ((int64_t)1 << bits < width)
        bits++;
    return bits;
}

int64_t packed_bits(const struct geometry *of)
{
    int64_t kept = of->parts ? 0 : of->rows * of->nonzeros;
    for (int64_t n = 0; n < of->parts; n++)
        kept += of->rows / of->parts * of->part[n];
    return kept * of->banks * (of->value_bits + index_bits(of->bank_width));
}

struct stream {
    const uint8_t *bytes;
    size_t count, bit;
};

/* The next `width` bits, 1 to 40. */
static uint64_t take(struct stream *s, int width)
{
    size_t at = s->bit / 8;
    uint64_t word = 0;
    if (s->count - at >= 8) {
        memcpy(&word, s->bytes + at, 8);
    } else {
        memcpy(&word, s->bytes + at, s->count - at);
    }
    word >>= s->bit % 8;
    s->bit += (size_t)width;
    return word & (((uint64_t)1 << width) - 1);
}

/* Entries of a row, bank by bank, from the stream, which has them entry by entry. */
static const char *row_read(struct stream *s, const struct geometry *of, int64_t k, int bits,
                            uint64_t *row)
{
    int width = (int)of->value_bits + bits;
    for (int64_t j = 0; j < k; j++)
        for (int64_t bank = 0; bank < of->banks; bank++) {
            uint64_t entry = take(s, width), index = entry >> of->value_bits;
            uint64_t *place = &row[bank * k + j];
            if ((int64_t)index >= of->bank_width)
                return "has an index beyond its bank";
            if (j && index <= place[-1] >> of->value_bits)
                return "has indices that do not increase";
            *place = entry;
        }
    return NULL;
}

/* Keep what lies in real columns; padding must be 0. */
static const char *row_keep(struct rows *rows, size_t row, const uint64_t *entries)
{
    const struct geometry *of = &rows->of;
    uint64_t mask = ((uint64_t)1 << of->value_bits) - 1;
    int32_t sign = (int32_t)1 << (of->value_bits - 1);
    size_t to = rows->starts[row];
    int64_t k = kept_in(of, (int64_t)row);
    for (int64_t n = 0; n < of->banks * k; n++) {
        int64_t bank = n / k, index = (int64_t)(entries[n] >> of->value_bits);
        int64_t column = bank * of->bank_width + index;
        int32_t value = ((int32_t)(entries[n] & mask) ^ sign) - sign;
        if (column < of->columns) {
            rows->values[to] = value;
            rows->columns[to++] = (uint32_t)column;
        } else if (value) {
            return "has a weight in a padding column";
        }
    }
    rows->starts[row + 1] = to;
    return NULL;
}

static const char *all_read(struct rows *rows, struct stream *s, uint64_t *row)
{
    int bits = index_bits(rows->of.bank_width);
    for (size_t r = 0; r < (size_t)rows->of.rows; r++) {
        const char *wrong = row_read(s, &rows->of, kept_in(&rows->of, (int64_t)r), bits, row);
        wrong = wrong ? wrong : row_keep(rows, r, row);
        if (wrong)
            return wrong;
    }
    if (s->bit % 8 && s->bytes[s->bit / 8] >> s->bit % 8)
        return "has bits set after its last entry";
    return NULL;
}

int32_t rows_read(struct rows *rows, const struct geometry *of, const uint8_t *bytes, size_t count,
                  const char *name, struct sparseflow_run_error *error)
{
    size_t each = (size_t)(of->banks * of->nonzeros), slots = (size_t)of->rows * each;
    struct stream s = {bytes, count, 0};
    uint64_t *row = calloc(each + 1, sizeof *row);
    rows->of = *of;
    rows->starts = calloc((size_t)of->rows + 1, sizeof *rows->starts);
    rows->values = malloc((slots + 1) * sizeof *rows->values);
    rows->columns = malloc((slots + 1) * sizeof *rows->columns);
    const char *wrong = NULL;
    if (row && rows->starts && rows->values && rows->columns)
        wrong = all_read(rows, &s, row);
    else
        wrong = "takes more memory than there is";
    int memory = !(row && rows->starts && rows->values && rows->columns);
    free(row);
    if (wrong)
        return file_error(error, memory ? SPARSEFLOW_RUN_MEMORY : SPARSEFLOW_RUN_FORMAT,
                          "tensor '%s' %s: fetch or save the file again", name, wrong);
    return SPARSEFLOW_RUN_OK;
}

void rows_free(struct rows *rows)
{
    free(rows->starts);
    free(rows->values);
    free(rows->columns);
    memset(rows, 0, sizeof *rows);
}
