/* Vectors of floats in the portable form of GCC, and what the kernels do with them. VF is the widest that a processor has. */

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define W 16
#elif defined(__AVX2__)
#define W 8
#else
#define W 4
#endif
#define GROUP (4 * W) /* outputs that are packed together: four vectors a row */
#define TILE 6        /* rows that are multiplied together */
#if defined(__AVX512F__) || defined(__aarch64__)
#define REGISTERS 32
#else
#define REGISTERS 16
#endif
#define INLINE static inline __attribute__((always_inline))

/* How many products of bytes are added up at once: of 4 where the processor multiplies bytes, of 2 where it multiplies 16
 * bits, and bytes are widened for that. */
#if defined(__AVX512VNNI__) || defined(__AVX2__)
#define BYTES 4
#elif defined(__SSE2__) || defined(__aarch64__)
#define BYTES 2
#else
#define BYTES 0
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float VF __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t VI __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint8_t VB __attribute__((vector_size(W), aligned(1), may_alias));
#if BYTES == 2
typedef uint16_t Rounded; /* an input that was rounded to one of 255 steps */
#else
typedef uint8_t Rounded;
#endif
typedef Rounded VR __attribute__((vector_size(W * sizeof(Rounded)), aligned(1), may_alias));

INLINE VF load(const float *from) { return *(const VF *)from; }
INLINE void store(float *to, VF value) { *(VF *)to = value; }
INLINE VF all(float value) { return value - (VF){}; }
INLINE VF pick(VI mask, VF yes, VF no) { return (VF)(((VI)yes & mask) | ((VI)no & ~mask)); }

/* Where one of both is no number, the second. */
#if defined(__AVX512F__)
INLINE VF larger(VF a, VF b) { return (VF)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE VF smaller(VF a, VF b) { return (VF)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
INLINE VF larger(VF a, VF b) { return (VF)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE VF smaller(VF a, VF b) { return (VF)_mm256_min_ps((__m256)a, (__m256)b); }
#else
INLINE VF larger(VF a, VF b) { return pick(a > b, a, b); }
INLINE VF smaller(VF a, VF b) { return pick(a < b, a, b); }
#endif

/* Of `count` floats, as many as there are; the rest is `other`. */
INLINE VF load_part(const float *from, int64_t count, float other) {
    if (count >= W) return load(from);
    VF value = all(other);
    memcpy(&value, from, count * sizeof(float));
    return value;
}

INLINE void store_part(float *to, VF value, int64_t count) {
    if (count >= W) store(to, value);
    else if (count > 0) memcpy(to, &value, count * sizeof(float));
}

INLINE float sum(VF value) {
    float total = 0;
    for (int i = 0; i < W; i++) total += value[i];
    return total;
}

/* eˣ to 2 units in the last place: 2ⁿ times a polynomial of the rest (Cephes, expf). What is no number stays none, as
 * the comparisons keep their second argument then. */
INLINE VF exponential(VF x) {
    x = smaller(all(88.0f), larger(all(-86.0f), x));
    const float shift = 12582912.0f; /* 1.5 · 2²³: adding it rounds, and leaves the integer in the low bits */
    VF shifted = x * 1.44269504f + shift, n = shifted - shift;
    VF r = x - n * 0.693359375f + n * 2.12194440e-4f;
    VF p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (VF)((VI)p + ((VI)shifted << 23));
}

/* 1 / x for finite x from 1 on. A division takes as long as ten products, so where there is an estimate (to 14 bits), it is
 * taken, and made exact by a step of Newton's method. */
INLINE VF reciprocal(VF x) {
#if defined(__AVX512F__)
    VF estimate = (VF)_mm512_rcp14_ps((__m512)x);
    return estimate * (2.0f - x * estimate);
#else
    return 1.0f / x;
#endif
}

INLINE VF sigmoid(VF x) { return reciprocal(1.0f + exponential(-x)); }
INLINE VF tangent(VF x) { return 1.0f - 2.0f * reciprocal(1.0f + exponential(2.0f * x)); }

/* Memory for what only a call needs, a kind each; a thread keeps it for its next call, unless it is LARGE, and frees it
 * when it ends. */
enum { WORKING, JOINED, PLACES, STATES, SCORES, GATES, SUMS, QUERIES, CONTEXT, OUTPUTS, LOGITS, KINDS };

typedef struct {
    void *memory[KINDS];
    size_t sizes[KINDS];
} Held;

static _Thread_local Held *held;
static _Thread_local jmp_buf *way_out; /* out of what Python called, where memory lacks */
static pthread_key_t at_end;

static void release(void *own) {
    for (int kind = 0; kind < KINDS; kind++) free(((Held *)own)->memory[kind]);
    free(own);
}

__attribute__((constructor)) static void prepare(void) { pthread_key_create(&at_end, release); }

/* What Python calls begins with ENTER and ends with LEAVE, if it may take much memory: it is 1 where there was too little,
 * else 0. */
#define ENTER \
    jmp_buf outside; \
    if (setjmp(outside)) return way_out = 0, 1; \
    way_out = &outside
#define LEAVE return way_out = 0, 0

static _Noreturn void give_up(void) {
    if (!way_out) abort(); /* of training, whose threads need little */
    longjmp(*way_out, 1);
}

static void *scratch(int kind, size_t size) {
    if (!held) {
        if (!(held = calloc(1, sizeof(Held)))) give_up();
        if (pthread_setspecific(at_end, held)) free(held), held = 0, give_up();
    }
    if (held->sizes[kind] < size) {
        free(held->memory[kind]);
        held->sizes[kind] = (size + size / 2 + 63) / 64 * 64;
        if (!(held->memory[kind] = aligned_alloc(64, held->sizes[kind]))) held->sizes[kind] = 0, give_up();
    }
    return held->memory[kind];
}

#define LARGE (32 << 20) /* bytes: one request of many long texts should not cost this much for ever */

__attribute__((unused)) static void free_large(void) {
    for (int kind = 0; held && kind < KINDS; kind++)
        if (held->sizes[kind] > LARGE) {
            free(held->memory[kind]);
            held->memory[kind] = 0, held->sizes[kind] = 0;
        }
}
