/* What a decode step does often enough to be worth a function of its own. nmt/kernels/__init__.py says what each is for.
 *
 * Compiled once for each kind of processor: VF is the widest vector of floats that it has, and the sums of products of
 * bytes are the same on all. Tensors are dense and row-major, indices are 64 bits. A null `rows` means that each row reads
 * its own.
 */

#include "vectors.h"

int width(void) { return W; }
int bytes(void) { return BYTES; }
const char sources[] = SOURCES; /* their sum, which nmt.kernels.builds looks for in the file before it loads it */

/* ---- products ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const float *values;
    const int64_t *rows;
    int64_t width;
} Part;

/* Packed weights: for each group of outputs, input by input (bytes: BYTES inputs at a time), all outputs of the group.
 * Bytes lie in [-63, 63]. */
typedef struct {
    const void *packed;
    const float *bias;  /* of each output, padded to whole groups */
    const float *scale; /* bytes: what a sum of products is worth, by output; null for floats */
    const int32_t *zero; /* bytes: the sum that inputs of zero give */
    int64_t inputs;      /* bytes: padded to a multiple of BYTES */
    int64_t outputs;
    float range; /* bytes: inputs lie in [-range, range] */
} Weights;

/* What one joined input takes. */
INLINE size_t input_size(const Weights *w) { return w->scale ? sizeof(Rounded) : sizeof(float); }

/* Inputs side by side, a row after the other: as floats, or rounded to steps with 128 for zero. */
static void join(const Part *parts, int count, int64_t n, const Weights *w, void *joined) {
    for (int64_t row = 0; row < n; row++) {
        int64_t at = row * w->inputs;
        for (int p = 0; p < count; p++) {
            const Part *part = &parts[p];
            const float *from = part->values + (part->rows ? part->rows[row] : row) * part->width;
            if (!w->scale) {
                memcpy((float *)joined + at, from, part->width * sizeof(float));
            } else {
                Rounded *to = (Rounded *)joined + at;
                const float shift = 12582912.0f + 128.0f, steps = 127.0f / w->range;
                for (int64_t i = 0; i < part->width; i += W) {
                    int64_t left = part->width - i;
                    VF x = load_part(from + i, left, 0);
                    x = smaller(larger(x * steps, all(-127.0f)), all(127.0f));
                    VR rounded = __builtin_convertvector((VI)(x + shift) & 255, VR);
                    if (left >= W) *(VR *)(to + i) = rounded;
                    else memcpy(to + i, &rounded, left * sizeof(Rounded));
                }
            }
            at += part->width;
        }
        for (; w->scale && at < (row + 1) * w->inputs; at++) ((Rounded *)joined)[at] = 128;
    }
}

/* How many of the four vectors of a group are summed up at once: as many as stay in registers. */
INLINE int at_once(const int rows) { return rows * 4 < REGISTERS - 4 ? 4 : 2; }

/* Sums are kept apart from where they are wanted, so that they stay in registers: weights might lie there for all that
 * the compiler knows. */
INLINE void multiply_floats(const int rows, const float *x, const float *packed, int64_t inputs, VF sums[TILE][4]) {
    const int pass = at_once(rows);
    for (int at = 0; at < 4; at += pass) {
        VF totals[TILE][4] = {};
        const float *weights = packed + at * W;
        for (int64_t i = 0; i < inputs; i++, weights += GROUP) {
            VF own[4];
            for (int j = 0; j < pass; j++) own[j] = load(weights + j * W);
            for (int r = 0; r < rows; r++) {
                VF one = all(x[r * inputs + i]);
                for (int j = 0; j < pass; j++) totals[r][j] += one * own[j];
            }
        }
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < pass; j++) sums[r][at + j] = totals[r][j];
    }
}

#if BYTES
/* `factors` are the weights of W outputs with BYTES inputs each, as wide as they are multiplied; `x` are those inputs. */
#if BYTES == 4
INLINE VI factors(const int8_t *weights) { return *(const VI *)weights; }
#endif
#if defined(__AVX512VNNI__)
INLINE VI add_products(VI sum, int32_t x, VI w) {
    return (VI)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(x), (__m512i)w);
}
#elif defined(__AVXVNNI__)
INLINE VI add_products(VI sum, int32_t x, VI w) {
    return (VI)_mm256_dpbusd_avx_epi32((__m256i)sum, _mm256_set1_epi32(x), (__m256i)w);
}
#elif defined(__AVX2__)
/* Two products are added up in 16 bits first, which hold them: 2 * 255 * 63 < 2^15. */
INLINE VI add_products(VI sum, int32_t x, VI w) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi32(x), (__m256i)w);
    return sum + (VI)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#elif defined(__SSE2__)
INLINE VI factors(const int8_t *weights) {
    __m128i twice = _mm_loadl_epi64((const void *)weights);
    return (VI)_mm_srai_epi16(_mm_unpacklo_epi8(twice, twice), 8);
}
INLINE VI add_products(VI sum, int32_t x, VI w) { return sum + (VI)_mm_madd_epi16(_mm_set1_epi32(x), (__m128i)w); }
#else
INLINE VI factors(const int8_t *weights) { return (VI)vmovl_s8(vld1_s8(weights)); }
INLINE VI add_products(VI sum, int32_t x, VI w) {
    int16x8_t two = vreinterpretq_s16_s32(vdupq_n_s32(x)), of = (int16x8_t)w;
    return sum + (VI)vpaddq_s32(vmull_s16(vget_low_s16(two), vget_low_s16(of)), vmull_high_s16(two, of));
}
#endif

INLINE void multiply_bytes(const int rows, const Rounded *x, const int8_t *packed, const Weights *w, int64_t group,
                           VF sums[TILE][4]) {
    const int pass = at_once(rows);
    for (int at = 0; at < 4; at += pass) {
        VI totals[TILE][4];
        const int8_t *weights = packed + at * W * BYTES;
        for (int j = 0; j < pass; j++) {
            VI zero = *(const VI *)(w->zero + group * GROUP + (at + j) * W);
            for (int r = 0; r < rows; r++) totals[r][j] = -zero;
        }
        for (int64_t i = 0; i < w->inputs; i += BYTES, weights += BYTES * GROUP) {
            VI own[4];
            for (int j = 0; j < pass; j++) own[j] = factors(weights + j * W * BYTES);
            for (int r = 0; r < rows; r++) {
                int32_t few; /* BYTES inputs */
                memcpy(&few, x + r * w->inputs + i, sizeof few);
                for (int j = 0; j < pass; j++) totals[r][j] = add_products(totals[r][j], few, own[j]);
            }
        }
        for (int j = 0; j < pass; j++) {
            VF scale = load(w->scale + group * GROUP + (at + j) * W);
            for (int r = 0; r < rows; r++) sums[r][at + j] = __builtin_convertvector(totals[r][j], VF) * scale;
        }
    }
}
#endif

/* The products of up to TILE joined rows with one group of weights. One function a number of rows, each of its own, so
 * that the compiler keeps all sums in registers. */
typedef void Multiply(const void *joined, const Weights *w, int64_t group, VF sums[TILE][4]);

INLINE void multiply_rows(const int rows, const void *joined, const Weights *w, int64_t group, VF sums[TILE][4]) {
#if BYTES
    if (w->scale) {
        multiply_bytes(rows, joined, (const int8_t *)w->packed + group * GROUP * w->inputs, w, group, sums);
        return;
    }
#endif
    multiply_floats(rows, joined, (const float *)w->packed + group * GROUP * w->inputs, w->inputs, sums);
}

#define MULTIPLY(rows)                                                                                                 \
    static __attribute__((noinline)) void multiply_##rows(const void *joined, const Weights *w, int64_t group,         \
                                                          VF sums[TILE][4]) {                                          \
        multiply_rows(rows, joined, w, group, sums);                                                                   \
    }

MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
static Multiply *const MULTIPLIERS[TILE] = {multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6};

/* x Wᵀ + b for the rows from `first` on, and one group of outputs. Returns how many rows that are: 8 are not 6 and 2, but
 * twice 4, as weights that are read for few rows keep the processor waiting. */
INLINE int multiply(const void *joined, int64_t n, int64_t first, const Weights *w, int64_t group, VF sums[TILE][4]) {
    int64_t left = n - first, tiles = (left + TILE - 1) / TILE;
    int rows = (left + tiles - 1) / tiles;
    MULTIPLIERS[rows - 1]((const char *)joined + first * w->inputs * input_size(w), w, group, sums);
    for (int j = 0; j < 4; j++) {
        VF bias = load(w->bias + group * GROUP + j * W);
        for (int r = 0; r < rows; r++) sums[r][j] += bias;
    }
    return rows;
}

enum { PLAIN, TANH, EXPONENTIAL };
#define FLAT 43.0f /* of the two parts of an additive score: the exponential of twice as much is still finite */

/* function(x Wᵀ + b) for n rows x, which are made of up to three parts. */
static void affine(int64_t n, const Weights *w, const Part *parts, int count, int function, float *out) {
    void *joined = scratch(JOINED, n * w->inputs * input_size(w));
    join(parts, count, n, w, joined);
    for (int64_t group = 0; group * GROUP < w->outputs; group++) {
        for (int64_t first = 0, rows; first < n; first += rows) {
            VF sums[TILE][4];
            rows = multiply(joined, n, first, w, group, sums);
            for (int r = 0; r < rows; r++)
                for (int j = 0; j < 4; j++) {
                    int64_t at = group * GROUP + j * W;
                    VF y = sums[r][j];
                    if (function == TANH) y = tangent(y);
                    if (function == EXPONENTIAL) y = exponential(2.0f * smaller(all(FLAT), larger(all(-FLAT), y)));
                    store_part(out + (first + r) * w->outputs + at, y, w->outputs - at);
                }
        }
    }
}

int product(int64_t n, const Weights *w, const Part *parts, int count, int function, float *out) {
    ENTER;
    affine(n, w, parts, count, function, out);
    LEAVE;
}

#define DEEPEST 8 /* layers that encoder and decoder have room for */

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

/* The next state of W units from their gates, in the order input, forget, output, candidate. */
INLINE void next_state(const VF gates[4], const float *cell, float *next_hidden, float *next_cell, int64_t left) {
    VF after = sigmoid(gates[1]) * load_part(cell, left, 0) + sigmoid(gates[0]) * tangent(gates[3]);
    store_part(next_cell, after, left);
    store_part(next_hidden, sigmoid(gates[2]) * tangent(after), left);
}

/* What a layer makes of its joined inputs. With `gain`, what goes into each gate is normalized first; the outputs of
 * `weights` are then in the order of torch, by gate, and `bias` comes after. */
typedef struct {
    const Weights *weights;
    const float *gain, *bias;
} Cell;

#define EPSILON 1e-5f

/* A row of `count` features brought to mean 0 and variance 1, times scale, plus shift. */
static void standardize(float *row, int64_t count, const float *scale, const float *shift) {
    double total = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) total += row[i];
    float mean = total / count;
    for (int64_t i = 0; i < count; i++) squares += (row[i] - mean) * (row[i] - mean);
    float factor = 1.0f / sqrtf(squares / count + EPSILON);
    for (int64_t i = 0; i < count; i++) row[i] = (row[i] - mean) * factor * scale[i] + shift[i];
}

/* The states that n rows go on from: row i from rows[i], or from its own place where there are no rows. */
typedef struct {
    const float *cell;
    const int64_t *rows;
} Before;

INLINE const float *cell_of(Before before, int64_t row, int64_t size) {
    return before.cell + (before.rows ? before.rows[row] : row) * size;
}

/* What is known of the gates of n rows before their product, such as a table of embeddings: row i has that at rows[i]. */
typedef struct {
    const float *gates;
    const int64_t *rows;
} Known;

static const int ORDER[4] = {0, 1, 3, 2}; /* where torch has the input, forget and output gate and the candidate */

static void normalized_step(int64_t n, int64_t size, const Cell *cell, const Part *parts, int count, Known known,
                            Before before, float *next_hidden, float *next_cell) {
    float *gates = scratch(SUMS, n * 4 * size * sizeof(float));
    affine(n, cell->weights, parts, count, PLAIN, gates);
    for (int64_t row = 0; row < n; row++) {
        float *own = gates + row * 4 * size;
        if (known.gates)
            for (int64_t i = 0; i < 4 * size; i++) own[i] += known.gates[known.rows[row] * 4 * size + i];
        for (int64_t at = 0; at < 4 * size; at += size) standardize(own + at, size, cell->gain + at, cell->bias + at);
        for (int64_t i = 0; i < size; i += W) {
            VF of_units[4];
            for (int j = 0; j < 4; j++) of_units[j] = load_part(own + ORDER[j] * size + i, size - i, 0);
            next_state(of_units, cell_of(before, row, size) + i, next_hidden + row * size + i,
                       next_cell + row * size + i, size - i);
        }
    }
}

/* One step of n rows. Without `gain` the weights have the four gates of W units in a group, which never reach memory. */
static void lstm_step(int64_t n, int64_t size, const Cell *cell, const Part *parts, int count, Known known, Before before,
                      float *next_hidden, float *next_cell) {
    if (cell->gain) {
        normalized_step(n, size, cell, parts, count, known, before, next_hidden, next_cell);
        return;
    }
    const Weights *w = cell->weights;
    void *joined = scratch(JOINED, n * w->inputs * input_size(w));
    join(parts, count, n, w, joined);
    int64_t groups = (size + W - 1) / W;
    for (int64_t group = 0; group < groups; group++) {
        for (int64_t first = 0, rows; first < n; first += rows) {
            VF sums[TILE][4];
            rows = multiply(joined, n, first, w, group, sums);
            for (int64_t row = first; row < first + rows; row++) {
                VF *gates = sums[row - first];
                const float *added = known.gates ? known.gates + (known.rows[row] * groups + group) * GROUP : 0;
                for (int j = 0; added && j < 4; j++) gates[j] += load(added + j * W);
                int64_t at = row * size + group * W;
                next_state(gates, cell_of(before, row, size) + group * W, next_hidden + at, next_cell + at,
                           size - group * W);
            }
        }
    }
}

/* Sentences from zero states, the longest first: those that are not at their end in step t, alive[t] of n, know the gates
 * at the next of the places and write `out` there, which has `stride` floats a place. */
static void lstm_sequence(int64_t steps, int64_t n, const int64_t *alive, int64_t size, const Cell *cell,
                          const float *gates, const int64_t *places, float *out, int64_t stride) {
    float *hidden = scratch(STATES, 4 * n * size * sizeof(float)), *before = hidden + n * size;
    float *next_hidden = before + n * size, *next_cell = next_hidden + n * size;
    memset(hidden, 0, 2 * n * size * sizeof(float));
    for (int64_t t = 0; t < steps; places += alive[t++]) {
        Part part = {hidden, 0, size};
        lstm_step(alive[t], size, cell, &part, 1, (Known){gates, places}, (Before){before, 0}, next_hidden, next_cell);
        for (int64_t b = 0; b < alive[t]; b++)
            memcpy(out + places[b] * stride, next_hidden + b * size, size * sizeof(float));
        float *held = hidden;
        hidden = next_hidden, next_hidden = held;
        held = before, before = next_cell, next_cell = held;
    }
}

/* A layer in one direction: what the inputs give to the gates, and what the hidden state does. */
typedef struct {
    const Weights *inputs;
    Cell cell;
} Direction;

/* A forward and a backward layer. `scale` and `shift` normalize what leaves them; null where it is left as it is. */
typedef struct {
    Direction directions[2];
    const float *scale, *shift;
} Bidirectional;

typedef struct {
    int64_t depth, size, residual;
    Bidirectional layers[DEEPEST];
} Encoder;

#define TOGETHER 24 /* sentences: what lies between the products of more does not stay in the caches */

/* Of up to TOGETHER sentences, one after the other, n pieces in all: embedded (n, E) → values (n, 2H). `between` is as
 * large, for what the layers below give. */
static void encode_some(const Encoder *encoder, int64_t batch, int64_t n, int64_t width, const float *embedded,
                        const int64_t *lengths, float *values, float *between) {
    int64_t size = encoder->size, starts[TOGETHER], order[TOGETHER];
    for (int64_t b = 0, start = 0; b < batch; start += lengths[b++]) {
        int64_t at = b;
        for (starts[b] = start; at && lengths[order[at - 1]] < lengths[b]; at--) order[at] = order[at - 1];
        order[at] = b;
    }
    int64_t longest = lengths[order[0]], left = batch;
    int64_t *forward = scratch(PLACES, (2 * n + longest) * sizeof(int64_t)), *backward = forward + n;
    int64_t *alive = backward + n;
    for (int64_t t = 0, at = 0; t < longest; alive[t++] = left) {
        while (lengths[order[left - 1]] <= t) left--;
        for (int64_t i = 0; i < left; i++, at++) {
            forward[at] = starts[order[i]] + t;
            backward[at] = starts[order[i]] + lengths[order[i]] - 1 - t;
        }
    }
    Part inputs = {embedded, 0, width};
    for (int64_t depth = 0; depth < encoder->depth; depth++) {
        const Bidirectional *layer = &encoder->layers[depth];
        float *out = (encoder->depth - depth) % 2 ? values : between;
        for (int d = 0; d < 2; d++) {
            const Direction *own = &layer->directions[d];
            float *gates = scratch(GATES, n * own->inputs->outputs * sizeof(float));
            affine(n, own->inputs, &inputs, 1, PLAIN, gates);
            lstm_sequence(longest, batch, alive, size, &own->cell, gates, d ? backward : forward, out + d * size,
                          2 * size);
        }
        for (int64_t i = 0; i < n * 2 * size && depth && encoder->residual; i++) out[i] += inputs.values[i];
        for (int64_t place = 0; place < n && layer->scale; place++)
            standardize(out + place * 2 * size, 2 * size, layer->scale, layer->shift);
        inputs = (Part){out, 0, 2 * size};
    }
}

/* Sentences (B) of lengths of 1 at least. See nmt.model.encoder.Encoder. */
int encode(const Encoder *encoder, int64_t batch, int64_t width, const float *embedded, const int64_t *lengths,
           float *values, float *between) {
    ENTER;
    for (int64_t b = 0, done = 0; b < batch; b += TOGETHER) {
        int64_t some = batch - b < TOGETHER ? batch - b : TOGETHER, n = 0, out = done * 2 * encoder->size;
        for (int64_t i = b; i < b + some; i++) n += lengths[i];
        encode_some(encoder, some, n, width, embedded + done * width, lengths + b, values + out, between + out);
        done += n;
    }
    free_large();
    LEAVE;
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

enum { NONE, DOT, ADDITIVE };

/* 1 / (1 + e²ᵠ e²ᵏ) of the exponentials, whose product may be infinite. What is no number stays none. */
INLINE VF falling(VF query, VF key) { return reciprocal(smaller(all(1e38f), query * key) + 1.0f); }

/* Dot: q·k. Additive: -2 Σ v / (1 + e²ᵠ e²ᵏ). */
INLINE float compare(int score, const float *query, const float *key, const float *energy, int64_t size) {
    VF total = all(0);
    int64_t i = 0;
    if (score == DOT)
        for (; i + W <= size; i += W) total += load(query + i) * load(key + i);
    else
        for (; i + W <= size; i += W) total += load(energy + i) * falling(load(query + i), load(key + i));
    if (i < size) {
        VF q = load_part(query + i, size - i, 0), k = load_part(key + i, size - i, 0);
        total += score == DOT ? q * k : load_part(energy + i, size - i, 0) * falling(q, k);
    }
    return score == DOT ? sum(total) : -2.0f * sum(total);
}

/* Softmax of scores (S); a score of -inf gets 0. */
static void softmax(float *scores, int64_t count) {
    float most = -INFINITY, total = 0;
    for (int64_t s = 0; s < count; s++) most = scores[s] > most ? scores[s] : most;
    for (int64_t s = 0; s < count; s += W) {
        int64_t left = count - s;
        VF x = load_part(scores + s, left, -INFINITY);
        VF y = pick(x > all(-INFINITY), exponential(x - most), all(0));
        total += sum(y);
        store_part(scores + s, y, left);
    }
    for (int64_t s = 0; s < count; s++) scores[s] /= total;
}

/* What a score needs: of queries and keys of `size` features in all, and of values of `memory`. */
typedef struct {
    int64_t heads, size, memory;
    int64_t score;
    const float *energy; /* additive: of each feature */
    float factor;
} Attention;

/* Of a sentence: values (S, M), keys (S, A), and bias (S), added to the scores, or null. */
typedef struct {
    const float *values, *keys, *bias;
    int64_t places;
} Memory;

/* Of all the rows of a step, K for each sentence, the N that are alive: where each stands, in ascending order, its last
 * piece, and the row of states that it goes on from. */
typedef struct {
    int64_t all, k, n;
    int64_t *places, *pieces, *rows;
} Live;

/* queries (N, A) → context (N, M), and, where the rows stand, weights (B, K, S), the mean over the heads, for the
 * `longest` of the sentences (B). */
static void attend(const Attention *a, const Memory *memory, int64_t longest, Live live, const float *queries,
                   float *context, float *weights) {
    int64_t own = a->size / a->heads, mixed = a->memory / a->heads;
    float *scores = scratch(SCORES, (longest + W) * sizeof(float));
    for (int64_t row = 0; row < live.n; row++) {
        const Memory *m = &memory[live.places[row] / live.k];
        int64_t count = m->places;
        float *seen = weights + live.places[row] * longest;
        memset(seen + count, 0, (longest - count) * sizeof(float));
        for (int64_t h = 0; h < a->heads; h++) {
            const float *query = queries + row * a->size + h * own, *keys = m->keys + h * own;
            for (int64_t s = 0; s < count; s++) {
                scores[s] = m->bias ? m->bias[s] : 0;
                if (a->score != NONE && scores[s] > -INFINITY)
                    scores[s] += a->factor * compare(a->score, query, keys + s * a->size, a->energy + h * own, own);
            }
            softmax(scores, count);
            for (int64_t i = 0; i < mixed; i += W) {
                const float *from = m->values + h * mixed + i;
                VF total = all(0);
                for (int64_t s = 0; s < count; s++)
                    total += scores[s] * load_part(from + s * a->memory, mixed - i, 0);
                store_part(context + row * a->memory + h * mixed + i, total, mixed - i);
            }
            for (int64_t s = 0; s < count; s++) seen[s] = (h ? seen[s] : 0) + scores[s] / a->heads;
        }
    }
}

/* ---- the ends of a step ------------------------------------------------------------------------------------------ */

/* logits (V) → log-probabilities (V), there or elsewhere. */
static void log_softmax(int64_t count, const float *logits, float *log_probs) {
    int64_t whole = count / W * W;
    VF most = all(-INFINITY), total = all(0);
    for (int64_t i = 0; i < whole; i += W) most = larger(most, load(logits + i));
    most = larger(most, load_part(logits + whole, count - whole, -INFINITY));
    float largest = -INFINITY;
    for (int i = 0; i < W; i++) largest = most[i] > largest ? most[i] : largest;
    for (int64_t i = 0; i < whole; i += W) total += exponential(load(logits + i) - largest);
    double all_of_them = sum(total);
    for (int64_t i = whole; i < count; i++) all_of_them += expf(logits[i] - largest);
    float normalizer = largest + (float)log(all_of_them);
    for (int64_t i = 0; i < whole; i += W) store(log_probs + i, load(logits + i) - normalizer);
    for (int64_t i = whole; i < count; i++) log_probs[i] = logits[i] - normalizer;
}

/* ---- a whole step ------------------------------------------------------------------------------------------------- */

#define EMPTY 0 /* the piece of a row that is not alive: the PAD of nmt.text.tokenizer */
enum { DEEP, INPUT_FEEDING, CONDITIONAL };
/* A layer. `scale` and `shift` normalize what leaves it; null where it is left as it is. */
typedef struct {
    Cell cell;
    const float *table; /* of the first layer: what each piece adds to the gates */
    const float *scale, *shift;
} Layer;

typedef struct {
    int64_t wiring, depth, residual, embedding, size;
    Layer layers[DEEPEST];
    Attention attention;
    const Weights *query; /* null: the outputs are the query */
    const Weights *readout, *output;
} Network;

static void look(const Network *net, const Memory *memory, int64_t longest, Live live, const float *outputs,
                 float *context, float *weights) {
    const float *queries = outputs;
    if (net->query) {
        float *projected = scratch(QUERIES, live.n * net->query->outputs * sizeof(float));
        Part part = {outputs, 0, net->size};
        affine(live.n, net->query, &part, 1, net->attention.score == ADDITIVE ? EXPONENTIAL : PLAIN, projected);
        queries = projected;
    }
    attend(&net->attention, memory, longest, live, queries, context, weights);
}

/* What leaves a layer: its hidden states, above the first with the shortcut, normalized. */
static const float *leave(const Network *net, int64_t depth, int64_t n, const float *hidden, const float *below) {
    const Layer *layer = &net->layers[depth];
    int shortcut = depth && net->residual;
    if (!shortcut && !layer->scale) return hidden;
    float *outputs = (float *)scratch(OUTPUTS, 2 * n * net->size * sizeof(float)) + depth % 2 * n * net->size;
    for (int64_t i = 0; i < n * net->size; i++) outputs[i] = hidden[i] + (shortcut ? below[i] : 0);
    for (int64_t row = 0; layer->scale && row < n; row++)
        standardize(outputs + row * net->size, net->size, layer->scale, layer->shift);
    return outputs;
}

/* So many bytes of logits stay in a cache until they are log-probabilities; a few rows have more, because each block of
 * rows reads all weights, four times as many where these are floats. */
#define BLOCK (768 << 10)
#define FEWEST (4 * TILE)

/* Attentional vectors (N, E) → log_probs (B · K, V), where the rows stand; for those that are not alive, these and the
 * weights (B · K, S) become 0. */
static void read_out(const Network *net, Live live, int64_t longest, const float *vectors, float *log_probs,
                     float *weights) {
    int64_t count = net->output->outputs;
    int64_t most = BLOCK / (count * sizeof(float)) / TILE * TILE;
    if (most < FEWEST) most = FEWEST;
    if (!net->output->scale) most *= 4;
    int64_t blocks = (live.n + most - 1) / most, size = blocks ? (live.n + blocks - 1) / blocks : 0;
    float *logits = scratch(LOGITS, size * count * sizeof(float));
    for (int64_t first = 0; first < live.n; first += size) {
        int64_t rows = live.n - first < size ? live.n - first : size;
        Part read = {vectors + first * net->embedding, 0, net->embedding};
        affine(rows, net->output, &read, 1, PLAIN, logits);
        for (int64_t r = 0; r < rows; r++)
            log_softmax(count, logits + r * count, log_probs + live.places[first + r] * count);
    }
    for (int64_t place = 0, row = 0; place < live.all; place++) {
        if (row < live.n && live.places[row] == place) {
            row++;
            continue;
        }
        memset(log_probs + place * count, 0, count * sizeof(float));
        memset(weights + place * longest, 0, longest * sizeof(float));
    }
}

/* The rows (B, K) whose last piece is not EMPTY. States are of `held` rows, to which `rows` (B, K) points; `next_rows`
 * (B, K) becomes where the states of each will stand, of an empty one anywhere. */
static Live find_live(int64_t batch, int64_t k, const int64_t *pieces, const int64_t *rows, int64_t *next_rows) {
    int64_t all = batch * k, *own = scratch(PLACES, 3 * all * sizeof(int64_t));
    Live live = {all, k, 0, own, own + all, own + 2 * all};
    for (int64_t place = 0; place < all; place++) {
        next_rows[place] = 0;
        if (pieces[place] == EMPTY) continue;
        live.places[live.n] = place, live.pieces[live.n] = pieces[place], live.rows[live.n] = rows[place];
        next_rows[place] = live.n++;
    }
    return live;
}

/* One piece for each of the rows that are alive; memory (B). States: hidden and cell (2, L, rows, H) and feed (rows, E), of
 * `held` rows before and B · K after, of which the first N are written. See nmt.model.decoder.Decoder.step. */
int decode_step(const Network *net, int64_t batch, int64_t k, int64_t longest, int64_t held, const Memory *memory,
                const int64_t *pieces, const int64_t *rows, const float *states, const float *feed, float *next_states,
                float *next_feed, int64_t *next_rows, float *weights, float *log_probs) {
    ENTER;
    Live live = find_live(batch, k, pieces, rows, next_rows);
    int64_t n = live.n, size = net->size, mixed = net->attention.memory;
    const float *hidden = states, *cell = states + net->depth * held * size;
    float *next_hidden = next_states, *next_cell = next_states + net->depth * live.all * size;
    float *context = scratch(CONTEXT, n * mixed * sizeof(float));
    const float *outputs = 0;
    if (net->wiring == CONDITIONAL) {
        float *asking = scratch(GATES, n * size * sizeof(float));
        const float *last = hidden + (net->depth - 1) * held * size;
        for (int64_t row = 0; row < n; row++)
            memcpy(asking + row * size, last + live.rows[row] * size, size * sizeof(float));
        for (int64_t row = 0; net->layers[net->depth - 1].scale && row < n; row++)
            standardize(asking + row * size, size, net->layers[net->depth - 1].scale, net->layers[net->depth - 1].shift);
        look(net, memory, longest, live, asking, context, weights);
    }
    for (int64_t depth = 0; depth < net->depth; depth++) {
        const Layer *layer = &net->layers[depth];
        Part parts[3];
        int count = 0;
        if (depth) parts[count++] = (Part){outputs, 0, size};
        if (depth ? net->wiring == DEEP : net->wiring == CONDITIONAL) parts[count++] = (Part){context, 0, mixed};
        if (!depth && net->wiring == INPUT_FEEDING) parts[count++] = (Part){feed, live.rows, net->embedding};
        parts[count++] = (Part){hidden + depth * held * size, live.rows, size};
        float *own_hidden = next_hidden + depth * live.all * size, *own_cell = next_cell + depth * live.all * size;
        lstm_step(n, size, &layer->cell, parts, count, (Known){layer->table, live.pieces},
                  (Before){cell + depth * held * size, live.rows}, own_hidden, own_cell);
        outputs = leave(net, depth, n, own_hidden, outputs);
        if (depth == (net->wiring == DEEP ? 0 : net->wiring == INPUT_FEEDING ? net->depth - 1 : -1))
            look(net, memory, longest, live, outputs, context, weights);
    }
    Part parts[2] = {{outputs, 0, size}, {context, 0, mixed}};
    affine(n, net->readout, parts, 2, TANH, next_feed);
    read_out(net, live, longest, next_feed, log_probs, weights);
    LEAVE;
}

/* ---- the best of it ------------------------------------------------------------------------------------------------ */

#define CHUNK (8 * W)

/* The K largest of K · V sums totals (B, K) + log_probs (B, K, V), and where they are; -inf and 0 where there are fewer. */
int best_extensions(int64_t batch, int64_t rows, int64_t count, const float *log_probs, const float *totals,
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
    return 0;
}
