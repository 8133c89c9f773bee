/* What a decode step does often enough to be worth a function of its own. nmt/kernels/__init__.py says what each is for.
 *
 * Compiled once for each kind of processor: VF is the widest vector of floats that it has, and the products of bytes are
 * there where it can add them up in 32 bits. Tensors are dense and row-major, indices are 64 bits. A null `rows` means
 * that each row reads its own.
 */

#include "vectors.h"

int width(void) { return W; }
int bytes(void) { return BYTES; }

/* ---- products ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const float *values;
    const int64_t *rows;
    int64_t width;
} Part;

/* Packed weights: for each group of outputs, input by input (bytes: four inputs at a time), all outputs of the group. */
typedef struct {
    const void *packed;
    const float *bias;  /* of each output, padded to whole groups */
    const float *scale; /* bytes: what a sum of products is worth, by output; null for floats */
    const int32_t *zero; /* bytes: the sum that inputs of zero give */
    int64_t inputs;      /* bytes: padded to a multiple of 4 */
    int64_t outputs;
    float range; /* bytes: inputs lie in [-range, range] */
} Weights;

/* Inputs side by side, a row after the other: as floats, or rounded to bytes with 128 for zero. */
static void join(const Part *parts, int count, int64_t n, const Weights *w, void *joined) {
    for (int64_t row = 0; row < n; row++) {
        int64_t at = row * w->inputs;
        for (int p = 0; p < count; p++) {
            const Part *part = &parts[p];
            const float *from = part->values + (part->rows ? part->rows[row] : row) * part->width;
            if (!w->scale) {
                memcpy((float *)joined + at, from, part->width * sizeof(float));
            } else {
                uint8_t *to = (uint8_t *)joined + at;
                const float shift = 12582912.0f + 128.0f, steps = 127.0f / w->range;
                for (int64_t i = 0; i < part->width; i += W) {
                    int64_t left = part->width - i;
                    VF x = left >= W ? load(from + i) : load_part(from + i, left, 0);
                    x = smaller(larger(x * steps, all(-127.0f)), all(127.0f));
                    VB rounded = __builtin_convertvector((VI)(x + shift) & 255, VB);
                    if (left >= W) *(VB *)(to + i) = rounded;
                    else memcpy(to + i, &rounded, left);
                }
            }
            at += part->width;
        }
        if (w->scale) memset((uint8_t *)joined + at, 128, (row + 1) * w->inputs - at);
    }
}

INLINE void multiply_floats(const int rows, const float *x, const float *weights, int64_t inputs, VF sums[TILE][4]) {
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 4; j++) sums[r][j] = all(0);
    for (int64_t i = 0; i < inputs; i++, weights += GROUP) {
        VF own[4];
        for (int j = 0; j < 4; j++) own[j] = load(weights + j * W);
        for (int r = 0; r < rows; r++) {
            VF one = all(x[r * inputs + i]);
            for (int j = 0; j < 4; j++) sums[r][j] += one * own[j];
        }
    }
}

#if BYTES
#if defined(__AVX512VNNI__)
#define ADD_PRODUCTS(sum, x, w) (VI) _mm512_dpbusd_epi32((__m512i)(sum), _mm512_set1_epi32(x), (__m512i)(w))
#else
#define ADD_PRODUCTS(sum, x, w) (VI) _mm256_dpbusd_avx_epi32((__m256i)(sum), _mm256_set1_epi32(x), (__m256i)(w))
#endif

INLINE void multiply_bytes(const int rows, const uint8_t *x, const int8_t *weights, const Weights *w, int64_t group,
                           VF sums[TILE][4]) {
    VI totals[TILE][4];
    for (int j = 0; j < 4; j++) {
        VI zero = *(const VI *)(w->zero + group * GROUP + j * W);
        for (int r = 0; r < rows; r++) totals[r][j] = -zero;
    }
    for (int64_t i = 0; i < w->inputs; i += 4, weights += 4 * GROUP) {
        VI own[4];
        for (int j = 0; j < 4; j++) own[j] = *(const VI *)(weights + 4 * j * W);
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + r * w->inputs + i, 4);
            for (int j = 0; j < 4; j++) totals[r][j] = ADD_PRODUCTS(totals[r][j], four, own[j]);
        }
    }
    for (int j = 0; j < 4; j++) {
        VF scale = load(w->scale + group * GROUP + j * W);
        for (int r = 0; r < rows; r++) sums[r][j] = __builtin_convertvector(totals[r][j], VF) * scale;
    }
}
#endif

/* x Wᵀ + b for some rows and one group of outputs; with `added`, its row added_rows[r] on top. */
INLINE void multiply(const int rows, const void *joined, int64_t first, const Weights *w, int64_t group,
                     const float *added, const int64_t *added_rows, VF sums[TILE][4]) {
    int64_t padded = (w->outputs + GROUP - 1) / GROUP * GROUP;
#if BYTES
    if (w->scale)
        multiply_bytes(rows, (const uint8_t *)joined + first * w->inputs,
                       (const int8_t *)w->packed + group * GROUP * w->inputs, w, group, sums);
    else
#endif
        multiply_floats(rows, (const float *)joined + first * w->inputs,
                        (const float *)w->packed + group * GROUP * w->inputs, w->inputs, sums);
    for (int j = 0; j < 4; j++) {
        int64_t at = group * GROUP + j * W;
        VF bias = load(w->bias + at);
        for (int r = 0; r < rows; r++) {
            sums[r][j] += bias;
            if (added) sums[r][j] += load(added + added_rows[first + r] * padded + at);
        }
    }
}

enum { PLAIN, TANH, EXPONENTIAL };
#define FLAT 22.0f /* of the two parts of an additive score: beyond it tanh is flat, and products of both are finite */

INLINE void product_tile(const int rows, const void *joined, int64_t first, const Weights *w, int64_t group,
                         int function, float *out) {
    VF sums[TILE][4];
    multiply(rows, joined, first, w, group, 0, 0, sums);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 4; j++) {
            int64_t at = group * GROUP + j * W, left = w->outputs - at;
            VF y = sums[r][j];
            if (function == TANH) y = tangent(y);
            if (function == EXPONENTIAL) y = exponential(2.0f * smaller(larger(y, all(-FLAT)), all(FLAT)));
            float *to = out + (first + r) * w->outputs + at;
            if (left >= W) store(to, y);
            else if (left > 0) store_part(to, y, left);
        }
}

/* Calls DO(rows, first) for tiles of rows, with a number that the compiler knows. */
#if TILE == 6
#define TILES(n, DO)                                                                                                   \
    for (int64_t first = 0; first < (n); first += TILE) switch ((n)-first) {                                           \
            case 1: DO(1, first); break;                                                                               \
            case 2: DO(2, first); break;                                                                               \
            case 3: DO(3, first); break;                                                                               \
            case 4: DO(4, first); break;                                                                               \
            case 5: DO(5, first); break;                                                                               \
            default: DO(6, first);                                                                                     \
        }
#elif TILE == 3
#define TILES(n, DO)                                                                                                   \
    for (int64_t first = 0; first < (n); first += TILE) switch ((n)-first) {                                           \
            case 1: DO(1, first); break;                                                                               \
            case 2: DO(2, first); break;                                                                               \
            default: DO(3, first);                                                                                     \
        }
#else
#define TILES(n, DO)                                                                                                   \
    for (int64_t first = 0; first < (n); first += TILE) switch ((n)-first) {                                           \
            case 1: DO(1, first); break;                                                                               \
            default: DO(2, first);                                                                                     \
        }
#endif

/* function(x Wᵀ + b) for n rows x, which are made of up to three parts. */
void product(int64_t n, const Weights *w, const Part *parts, int count, int function, float *out) {
    void *joined = scratch(0, n * w->inputs * (w->scale ? 1 : 4));
    join(parts, count, n, w, joined);
    for (int64_t group = 0; group * GROUP < w->outputs; group++) {
#define DO(rows, first) product_tile(rows, joined, first, w, group, function, out)
        TILES(n, DO)
#undef DO
    }
}

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

/* A group has the four gates of W units, in the order input, forget, output, candidate. */
INLINE void lstm_tile(const int rows, const void *joined, int64_t first, const Weights *w, int64_t group,
                      const float *added, const int64_t *added_rows, const float *cell, const int64_t *cell_rows,
                      float *next_hidden, float *next_cell, int64_t size) {
    VF sums[TILE][4];
    multiply(rows, joined, first, w, group, added, added_rows, sums);
    int64_t at = group * W, left = size - at;
    for (int r = 0; r < rows; r++) {
        int64_t row = first + r;
        const float *from = cell + (cell_rows ? cell_rows[row] : row) * size + at;
        VF before = left >= W ? load(from) : load_part(from, left, 0);
        VF after = sigmoid(sums[r][1]) * before + sigmoid(sums[r][0]) * tangent(sums[r][3]);
        VF hidden = sigmoid(sums[r][2]) * tangent(after);
        if (left >= W) {
            store(next_cell + row * size + at, after);
            store(next_hidden + row * size + at, hidden);
        } else {
            store_part(next_cell + row * size + at, after, left);
            store_part(next_hidden + row * size + at, hidden, left);
        }
    }
}

/* One step of n rows; `added` (…, groups · 4W) has what is known of the gates, such as a table of embeddings. */
void lstm_step(int64_t n, int64_t size, const Weights *w, const Part *parts, int count, const float *added,
               const int64_t *added_rows, const float *cell, const int64_t *cell_rows, float *next_hidden,
               float *next_cell) {
    void *joined = scratch(0, n * w->inputs * (w->scale ? 1 : 4));
    join(parts, count, n, w, joined);
    for (int64_t group = 0; group * W < size; group++) {
#define DO(rows, first)                                                                                                \
    lstm_tile(rows, joined, first, w, group, added, added_rows, cell, cell_rows, next_hidden, next_cell, size)
        TILES(n, DO)
#undef DO
    }
}

/* Sentences from zero states: in step t, sentence b reads `added` at places[t, b] and writes `out` there, which has
 * `stride` floats a place. A negative place is behind its end: nothing is written. */
void lstm_sequence(int64_t steps, int64_t n, int64_t size, const Weights *w, const float *added, const int64_t *places,
                   float *out, int64_t stride) {
    float *states = scratch(1, (4 * n * size) * sizeof(float) + n * sizeof(int64_t));
    float *hidden = states, *cell = states + n * size, *next_hidden = cell + n * size, *next_cell = next_hidden + n * size;
    int64_t *rows = (int64_t *)(next_cell + n * size);
    memset(states, 0, 2 * n * size * sizeof(float));
    for (int64_t t = 0; t < steps; t++, places += n) {
        for (int64_t b = 0; b < n; b++) rows[b] = places[b] < 0 ? 0 : places[b];
        Part part = {hidden, 0, size};
        lstm_step(n, size, w, &part, 1, added, rows, cell, 0, next_hidden, next_cell);
        for (int64_t b = 0; b < n; b++)
            if (places[b] >= 0) memcpy(out + places[b] * stride, next_hidden + b * size, size * sizeof(float));
        float *held = hidden;
        hidden = next_hidden, next_hidden = held;
        held = cell, cell = next_cell, next_cell = held;
    }
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

enum { NONE, DOT, ADDITIVE };

/* Dot: q·k. Additive: -2 Σ v / (1 + e²ᵠ e²ᵏ) of the exponentials. */
INLINE float compare(int score, const float *query, const float *key, const float *energy, int64_t size) {
    VF total = all(0);
    int64_t i = 0;
    if (score == DOT)
        for (; i + W <= size; i += W) total += load(query + i) * load(key + i);
    else
        for (; i + W <= size; i += W) total += load(energy + i) / (load(query + i) * load(key + i) + 1.0f);
    if (i < size) {
        VF q = load_part(query + i, size - i, 0), k = load_part(key + i, size - i, 0);
        total += score == DOT ? q * k : load_part(energy + i, size - i, 0) / (q * k + 1.0f);
    }
    return score == DOT ? sum(total) : -2.0f * sum(total);
}

/* Softmax of scores (S); a score of -inf gets 0. */
static void softmax(float *scores, int64_t count) {
    float most = -INFINITY, total = 0;
    for (int64_t s = 0; s < count; s++) most = scores[s] > most ? scores[s] : most;
    for (int64_t s = 0; s < count; s += W) {
        int64_t left = count - s;
        VF x = left >= W ? load(scores + s) : load_part(scores + s, left, -INFINITY);
        VF y = pick(x > all(-INFINITY), exponential(x - most), all(0));
        total += sum(y);
        store_part(scores + s, y, left);
    }
    for (int64_t s = 0; s < count; s++) scores[s] /= total;
}

/* queries (B, K, A) · keys (B, S, A) · values (B, S, M) · bias (B, S) → context (B, K, M), weights (B, K, S). */
void attend(int64_t batch, int64_t rows, int64_t places, int64_t heads, int64_t size, int64_t memory, int score,
            float factor, const float *queries, const float *keys, const float *energy, const float *values,
            const float *bias, float *context, float *weights) {
    int64_t own = size / heads, mixed = memory / heads;
    float *scores = scratch(1, (places + W) * sizeof(float));
    for (int64_t b = 0; b < batch; b++)
        for (int64_t k = 0; k < rows; k++) {
            int64_t row = b * rows + k;
            for (int64_t h = 0; h < heads; h++) {
                for (int64_t s = 0; s < places; s++) {
                    scores[s] = bias[b * places + s];
                    if (score != NONE && scores[s] > -INFINITY)
                        scores[s] += factor * compare(score, queries + row * size + h * own,
                                                      keys + (b * places + s) * size + h * own, energy + h * own, own);
                }
                softmax(scores, places);
                float *to = context + row * memory + h * mixed;
                for (int64_t i = 0; i < mixed; i += W) {
                    int64_t left = mixed - i;
                    VF total = all(0);
                    for (int64_t s = 0; s < places; s++) {
                        const float *from = values + (b * places + s) * memory + h * mixed + i;
                        total += scores[s] * (left >= W ? load(from) : load_part(from, left, 0));
                    }
                    store_part(to + i, total, left);
                }
                for (int64_t s = 0; s < places; s++) {
                    float *weight = weights + row * places + s;
                    *weight = (h ? *weight : 0) + scores[s] / heads;
                }
            }
        }
}

/* ---- the ends of a step ------------------------------------------------------------------------------------------ */

/* logits (N, V) become log-probabilities. */
void log_softmax(int64_t n, int64_t count, float *logits) {
    int64_t whole = count / W * W;
    for (float *row = logits; row < logits + n * count; row += count) {
        VF most = all(-INFINITY), total = all(0);
        for (int64_t i = 0; i < whole; i += W) most = larger(most, load(row + i));
        most = larger(most, load_part(row + whole, count - whole, -INFINITY));
        float largest = -INFINITY;
        for (int i = 0; i < W; i++) largest = most[i] > largest ? most[i] : largest;
        for (int64_t i = 0; i < whole; i += W) total += exponential(load(row + i) - largest);
        double all_of_them = sum(total);
        for (int64_t i = whole; i < count; i++) all_of_them += expf(row[i] - largest);
        float normalizer = largest + (float)log(all_of_them);
        for (int64_t i = 0; i < whole; i += W) store(row + i, load(row + i) - normalizer);
        for (int64_t i = whole; i < count; i++) row[i] -= normalizer;
    }
}

#define CHUNK (8 * W)

/* The K largest of K · V sums totals (B, K) + log_probs (B, K, V), and where they are; -inf and 0 where there are fewer. */
void best_extensions(int64_t batch, int64_t rows, int64_t count, const float *log_probs, const float *totals,
                     float *best, int64_t *at) {
    for (int64_t b = 0; b < batch; b++, best += rows, at += rows) {
        for (int64_t k = 0; k < rows; k++) best[k] = -INFINITY, at[k] = 0;
        for (int64_t k = 0; k < rows; k++) {
            float base = totals[b * rows + k];
            const float *row = log_probs + (b * rows + k) * count;
            if (base == -INFINITY) continue;
            for (int64_t start = 0; start < count; start += CHUNK) {
                int64_t end = start + CHUNK < count ? start + CHUNK : count;
                if (end - start == CHUNK) {
                    VF most = load(row + start);
                    for (int i = W; i < CHUNK; i += W) most = larger(most, load(row + start + i));
                    VI above = (most + base) > all(best[rows - 1]);
                    int any = 0;
                    for (int i = 0; i < W; i++) any |= above[i];
                    if (!any) continue;
                }
                for (int64_t v = start; v < end; v++) {
                    float value = base + row[v];
                    if (!(value > best[rows - 1])) continue;
                    int64_t place = rows - 1;
                    for (; place > 0 && best[place - 1] < value; place--) best[place] = best[place - 1], at[place] = at[place - 1];
                    best[place] = value, at[place] = k * count + v;
                }
            }
        }
    }
}
