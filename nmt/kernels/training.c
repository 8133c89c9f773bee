/* What lies between the matrix products of a training update. nmt/kernels/training.py says what each is for.
 *
 * `narrow` says that tensors are bfloat16 (the upper half of a float) where they would be floats otherwise; all is worked
 * out in floats. Work is shared out among the threads of OpenMP by sentence or row, each of which is worked out by one
 * thread in a fixed order: results depend neither on time nor on the number of threads.
 */

#include "vectors.h"

typedef uint16_t VH __attribute__((vector_size(2 * W), aligned(2), may_alias));
typedef uint32_t VU __attribute__((vector_size(4 * W), aligned(4), may_alias));

/* The vector at `at`, of which `left` elements are there; the others are `other`. */
INLINE VF get_or(const void *from, int64_t at, int64_t left, const int narrow, float other) {
    if (!narrow) return load_part((const float *)from + at, left, other);
    VH half = (VH){} + (uint16_t)((VI)all(other) >> 16)[0];
    if (left >= W) memcpy(&half, (const uint16_t *)from + at, sizeof half);
    else memcpy(&half, (const uint16_t *)from + at, left * sizeof(uint16_t));
    return (VF)(__builtin_convertvector(half, VU) << 16);
}

INLINE VF get(const void *from, int64_t at, int64_t left, const int narrow) { return get_or(from, at, left, narrow, 0); }

/* Narrow ones are rounded to the nearest, in a tie to the even one. */
INLINE void put(void *to, int64_t at, VF value, int64_t left, const int narrow) {
    if (!narrow) {
        store_part((float *)to + at, value, left);
        return;
    }
    VU bits = (VU)value;
    VH half = __builtin_convertvector((bits + 0x7fff + (bits >> 16 & 1)) >> 16, VH);
    if (left >= W) memcpy((uint16_t *)to + at, &half, sizeof half);
    else memcpy((uint16_t *)to + at, &half, left * sizeof(uint16_t));
}

INLINE void *skip(const void *from, int64_t elements, const int narrow) {
    return (char *)from + elements * (narrow ? sizeof(uint16_t) : sizeof(float));
}

/* Calls a function with `narrow` as a number that the compiler knows. */
#define EITHER(narrow, function, ...)                                                                                  \
    if (narrow) function(1, __VA_ARGS__);                                                                              \
    else function(0, __VA_ARGS__)

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

INLINE void lstm_row(const int narrow, int64_t size, void *gates, const float *cell, float *next_cell, void *hidden) {
    for (int64_t i = 0; i < size; i += W) {
        int64_t left = size - i;
        VF entering = sigmoid(get(gates, i, left, narrow)), keeping = sigmoid(get(gates, size + i, left, narrow));
        VF candidate = tangent(get(gates, 2 * size + i, left, narrow));
        VF leaving = sigmoid(get(gates, 3 * size + i, left, narrow));
        VF after = keeping * get(cell, i, left, 0) + entering * candidate;
        put(gates, i, entering, left, narrow);
        put(gates, size + i, keeping, left, narrow);
        put(gates, 2 * size + i, candidate, left, narrow);
        put(gates, 3 * size + i, leaving, left, narrow);
        put(next_cell, i, after, left, 0);
        put(hidden, i, leaving * tangent(after), left, narrow);
    }
}

/* Step t: gates (D, T, B, 4H) get their nonlinearity; cells and hiddens (D, T + 1, B, H) at t lead to those at t + 1. */
void lstm_forward(int64_t directions, int64_t steps, int64_t batch, int64_t size, int64_t t, int narrow, void *gates,
                  float *cells, void *hiddens) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < directions * batch; row++) {
        int64_t d = row / batch, b = row % batch, before = (d * (steps + 1) + t) * batch + b, after = before + batch;
        void *own = skip(gates, ((d * steps + t) * batch + b) * 4 * size, narrow);
        EITHER(narrow, lstm_row, size, own, cells + before * size, cells + after * size,
               skip(hiddens, after * size, narrow));
    }
}

INLINE void lstm_row_back(const int narrow, int64_t size, const void *into_output, const void *from_next,
                          const void *gates, const float *cell, const float *next_cell, void *into_gates,
                          float *into_cell) {
    for (int64_t i = 0; i < size; i += W) {
        int64_t left = size - i;
        VF entering = get(gates, i, left, narrow), keeping = get(gates, size + i, left, narrow);
        VF candidate = get(gates, 2 * size + i, left, narrow), leaving = get(gates, 3 * size + i, left, narrow);
        VF squashed = tangent(get(next_cell, i, left, 0));
        VF into_hidden = get(into_output, i, left, narrow) + get(from_next, i, left, narrow);
        VF into_next = get(into_cell, i, left, 0) + into_hidden * leaving * (1.0f - squashed * squashed);
        put(into_gates, i, into_next * candidate * entering * (1.0f - entering), left, narrow);
        put(into_gates, size + i, into_next * get(cell, i, left, 0) * keeping * (1.0f - keeping), left, narrow);
        put(into_gates, 2 * size + i, into_next * entering * (1.0f - candidate * candidate), left, narrow);
        put(into_gates, 3 * size + i, into_hidden * squashed * leaving * (1.0f - leaving), left, narrow);
        put(into_cell, i, into_next * keeping, left, 0);
    }
}

/* The way back through step t. into_outputs (D, T, B, H); from_next, into_cell (D, B, H): the gradients of the states after
 * it, of which into_cell becomes that of the state before it. into_gates (D, T, B, 4H): before their nonlinearity. */
void lstm_backward(int64_t directions, int64_t steps, int64_t batch, int64_t size, int64_t t, int narrow,
                   const void *into_outputs, const void *from_next, const void *gates, const float *cells,
                   void *into_gates, float *into_cell) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < directions * batch; row++) {
        int64_t d = row / batch, b = row % batch, before = (d * (steps + 1) + t) * batch + b;
        int64_t now = (d * steps + t) * batch + b;
        EITHER(narrow, lstm_row_back, size, skip(into_outputs, now * size, narrow), skip(from_next, row * size, narrow),
               skip(gates, now * 4 * size, narrow), cells + before * size, cells + (before + batch) * size,
               skip(into_gates, now * 4 * size, narrow), into_cell + row * size);
    }
}

/* ---- additive attention ------------------------------------------------------------------------------------------ */

/* tanh(q + k) = 1 - 2r with r = 1 / (1 + e²ᵠ e²ᵏ): one exponential a query and a key instead of one a pair of them. Where
 * the product is infinite or zero, r is 0 or 1 as it should be; q and k beyond ±43 count as 43, where `exponential` ends.
 * The derivative is 4 r (1 - r). */

INLINE void doubled_exponentials(const int narrow, const void *from, int64_t count, float *to) {
    for (int64_t i = 0; i < count; i += W)
        put(to, i, exponential(2.0f * get(from, i, count - i, narrow)), count - i, 0);
}

/* One sentence: queries (T, A), keys (S, A), energy (A) → scores (heads, T, S). */
INLINE void score_sentence(const int narrow, int64_t rows, int64_t places, int64_t heads, int64_t size,
                           const void *queries, const void *keys, const float *energy, float *scores) {
    int64_t own = size / heads;
    float *exp_keys = scratch(WORKING, (places + 1) * size * sizeof(float)), *exp_query = exp_keys + places * size;
    doubled_exponentials(narrow, keys, places * size, exp_keys);
    for (int64_t t = 0; t < rows; t++) {
        doubled_exponentials(narrow, skip(queries, t * size, narrow), size, exp_query);
        for (int64_t h = 0; h < heads; h++)
            for (int64_t s = 0; s < places; s++) {
                const float *key = exp_keys + s * size + h * own, *query = exp_query + h * own;
                VF total = all(0);
                for (int64_t i = 0; i < own; i += W) {
                    VF product = get(query, i, own - i, 0) * get(key, i, own - i, 0);
                    total += get(energy + h * own, i, own - i, 0) * (1.0f - 2.0f / (1.0f + product));
                }
                scores[(h * rows + t) * places + s] = sum(total);
            }
    }
}

/* queries (B, T, A), keys (B, S, A), energy (A) → scores (B, heads, T, S) = Σ energy tanh(query + key) over each head. */
void additive_forward(int64_t batch, int64_t rows, int64_t places, int64_t heads, int64_t size, int narrow,
                      const void *queries, const void *keys, const float *energy, float *scores) {
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < batch; b++) {
        EITHER(narrow, score_sentence, rows, places, heads, size, skip(queries, b * rows * size, narrow),
               skip(keys, b * places * size, narrow), energy, scores + b * heads * rows * places);
    }
}

/* One sentence and one vector of features, of which `left` are there; `at` says where it begins in a row. */
INLINE void score_features_back(const int narrow, int64_t rows, int64_t places, int64_t size, int64_t at, int64_t left,
                                const float *into_scores, const void *queries, const void *keys, const float *energy,
                                void *into_queries, void *into_keys, float *into_energy) {
    float *exp_keys = scratch(WORKING, 2 * places * W * sizeof(float)), *into_key = exp_keys + places * W;
    VF weight = get(energy, at, left, 0), into_weight = all(0);
    for (int64_t s = 0; s < places; s++) {
        store(exp_keys + s * W, exponential(2.0f * get(keys, s * size + at, left, narrow)));
        store(into_key + s * W, all(0));
    }
    for (int64_t t = 0; t < rows; t++) {
        VF exp_query = exponential(2.0f * get(queries, t * size + at, left, narrow)), into_query = all(0);
        for (int64_t s = 0; s < places; s++) {
            VF r = 1.0f / (1.0f + exp_query * load(exp_keys + s * W));
            float into_score = into_scores[t * places + s];
            VF slope = into_score * (4.0f * r * (1.0f - r));
            into_weight += into_score * (1.0f - 2.0f * r);
            into_query += slope;
            store(into_key + s * W, load(into_key + s * W) + slope);
        }
        put(into_queries, t * size + at, weight * into_query, left, narrow);
    }
    for (int64_t s = 0; s < places; s++)
        put(into_keys, s * size + at, weight * load(into_key + s * W), left, narrow);
    put(into_energy, at, into_weight, left, 0);
}

INLINE void score_sentence_back(const int narrow, int64_t rows, int64_t places, int64_t heads, int64_t size,
                                const float *into_scores, const void *queries, const void *keys, const float *energy,
                                void *into_queries, void *into_keys, float *into_energy) {
    int64_t own = size / heads;
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < own; i += W)
            score_features_back(narrow, rows, places, size, h * own + i, own - i, into_scores + h * rows * places,
                                queries, keys, energy, into_queries, into_keys, into_energy);
}

/* The gradients of queries, keys and, of each sentence by itself, energy (B, A) from those of the scores. */
void additive_backward(int64_t batch, int64_t rows, int64_t places, int64_t heads, int64_t size, int narrow,
                       const float *into_scores, const void *queries, const void *keys, const float *energy,
                       void *into_queries, void *into_keys, float *into_energy) {
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < batch; b++) {
        int64_t query = b * rows * size, key = b * places * size;
        EITHER(narrow, score_sentence_back, rows, places, heads, size, into_scores + b * heads * rows * places,
               skip(queries, query, narrow), skip(keys, key, narrow), energy, skip(into_queries, query, narrow),
               skip(into_keys, key, narrow), into_energy + b * size);
    }
}

/* ---- the loss ---------------------------------------------------------------------------------------------------- */

INLINE void entropy_row(const int narrow, int64_t count, void *logits, int64_t target, float smoothing,
                        float *target_logit, float *log_prob) {
    float *powers = scratch(WORKING, (count + W) * sizeof(float)), largest = -INFINITY;
    VF most = all(-INFINITY), total = all(0);
    for (int64_t i = 0; i < count; i += W) most = larger(most, get_or(logits, i, count - i, narrow, -INFINITY));
    for (int i = 0; i < W; i++) largest = most[i] > largest ? most[i] : largest;
    for (int64_t i = 0; i < count; i += W) {
        VF power = exponential(get_or(logits, i, count - i, narrow, -INFINITY) - largest);
        store(powers + i, power);
        total += power;
    }
    float sum_of_powers = sum(total), uniform = smoothing / count;
    *target_logit = get(logits, target, 1, narrow)[0];
    *log_prob = *target_logit - largest - logf(sum_of_powers);
    for (int64_t i = 0; i < count; i += W)
        put(logits, i, load(powers + i) * (1.0f / sum_of_powers) - uniform, count - i, narrow);
    put(logits, target, all(powers[target] / sum_of_powers - uniform - (1.0f - smoothing)), 1, narrow);
}

/* logits (N, V), targets (N) → the logits and log-probabilities of the targets (N). The logits become the gradient of
 * label-smoothed cross-entropy. */
void cross_entropy(int64_t rows, int64_t count, int narrow, void *logits, const int64_t *targets, float smoothing,
                   float *target_logits, float *log_probs) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        EITHER(narrow, entropy_row, count, skip(logits, n * count, narrow), targets[n], smoothing, target_logits + n,
               log_probs + n);
    }
}

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

INLINE void drop_part(const int narrow, int64_t count, const void *values, const uint8_t *bytes, int dropped, float scale,
                      void *kept) {
    for (int64_t i = 0; i < count; i += W) {
        VB own = {};
        memcpy(&own, bytes + i, count - i < W ? count - i : W);
        VI keep = __builtin_convertvector(own, VI) >= dropped;
        put(kept, i, pick(keep, scale * get(values, i, count - i, narrow), all(0)), count - i, narrow);
    }
}

#define PART (1024 * W)

/* values (N) times the scale where their byte is not below `dropped`, and zero elsewhere. */
void drop(int64_t count, int narrow, const void *values, const uint8_t *bytes, int dropped, float scale, void *kept) {
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < count; at += PART) {
        EITHER(narrow, drop_part, count - at < PART ? count - at : PART, skip(values, at, narrow), bytes + at, dropped,
               scale, skip(kept, at, narrow));
    }
}
