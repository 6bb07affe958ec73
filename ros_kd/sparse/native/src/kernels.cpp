// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// Compiled once for each instruction set, with its flags and ROS_KD_ISA naming it. Nothing here may be shared with
// other translation units (no templates or inline functions of the standard library): the linker would keep any one of
// the copies, perhaps one that this processor cannot run.

#include "kernels.h"

#include "vectors.h"

#define ROS_KD_CONCAT_(a, b) a##b
#define ROS_KD_CONCAT(a, b) ROS_KD_CONCAT_(a, b)
#define ROS_KD_STRING_(a) #a
#define ROS_KD_STRING(a) ROS_KD_STRING_(a)

namespace {

using ros_kd::Finish;

// Weights of one input channel (float) or of two neighbouring ones (bfloat16), and how they meet the inputs.
struct Float {
    using Element = float;
    template <int B>
    struct Weights {
        Vector v[B];
        explicit Weights(const void* w, int64_t c) {
            const float* p = static_cast<const float*>(w) + c * B * kLanes;
#pragma GCC unroll 4
            for (int b = 0; b < B; b++) v[b] = load(p + b * kLanes);
        }
    };
    template <int B>
    static inline void multiply(Vector* acc, const float* x, int64_t c, const Weights<B>& w) {
        const float value = x[c];
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) acc[b] += value * w.v[b];
    }
};

struct BFloat16 {
    using Element = uint16_t;
    template <int B>
    struct Weights {
#if defined(__AVX512BF16__)
        Bits v[B];
#else
        Vector even[B], odd[B];
#endif
        explicit Weights(const void* w, int64_t c) {
            const uint32_t* p = static_cast<const uint32_t*>(w) + c * B * kLanes;
#pragma GCC unroll 4
            for (int b = 0; b < B; b++) {
                const Bits pair = load_bits(p + b * kLanes);
#if defined(__AVX512BF16__)
                v[b] = pair;
#else
                even[b] = reinterpret_cast<Vector>(pair << 16);
                odd[b] = reinterpret_cast<Vector>(pair & 0xffff0000u);
#endif
            }
        }
    };
    template <int B>
    static inline void multiply(Vector* acc, const uint16_t* x, int64_t c, const Weights<B>& w) {
        const uint32_t pair = load_pair(x + 2 * c);
#if defined(__AVX512BF16__)
        const __m512bh both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pair)));
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) acc[b] = _mm512_dpbf16_ps(acc[b], both, reinterpret_cast<__m512bh>(w.v[b]));
#else
        const float even = from_bits(pair << 16), odd = from_bits(pair & 0xffff0000u);
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) acc[b] += even * w.even[b] + odd * w.odd[b];
#endif
    }
};

template <class Type, int B, int R>
inline void block(const void* x, int64_t stride, int64_t channels, const int32_t* row, const int16_t* local,
                  const void* w, float* out) {
    const typename Type::Element* in[R];
    float* to[R];
    Vector acc[R][B];
#pragma GCC unroll 24
    for (int r = 0; r < R; r++) {
        in[r] = static_cast<const typename Type::Element*>(x) + row[r] * stride;
        to[r] = out + static_cast<int64_t>(local[r]) * B * kLanes;
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) acc[r][b] = load(to[r] + b * kLanes);
    }
    for (int64_t c = 0; c < channels; c++) {
        const typename Type::template Weights<B> weights(w, c);
#pragma GCC unroll 24
        for (int r = 0; r < R; r++) Type::multiply(acc[r], in[r], c, weights);
    }
#pragma GCC unroll 24
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) store(to[r] + b * kLanes, acc[r][b]);
}

// Rows to come: the processor cannot guess them, and they may lie beyond its second cache.
inline void prefetch(const void* x, int64_t bytes, int64_t stride_bytes, const int32_t* row, int64_t n) {
    for (int64_t p = 0; p < n; p++) {
        const char* from = static_cast<const char*>(x) + row[p] * stride_bytes;
        for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at);
    }
}

template <class Type, int B>
void accumulate(const void* x, int64_t stride, int64_t channels, const int32_t* row, const int16_t* local, int64_t n,
                const void* w, float* out) {
    constexpr int kRows = ROS_KD_ACCUMULATORS / B < 12 ? ROS_KD_ACCUMULATORS / B : 12;
    int64_t p = 0;
    for (; p + kRows <= n; p += kRows) {
        prefetch(x, channels * 4, stride * static_cast<int64_t>(sizeof(typename Type::Element)), row + p + kRows,
                 n - p - kRows < kRows ? n - p - kRows : kRows);
        block<Type, B, kRows>(x, stride, channels, row + p, local + p, w, out);
    }
    if constexpr (kRows > 8)
        for (; p + 8 <= n; p += 8) block<Type, B, 8>(x, stride, channels, row + p, local + p, w, out);
    if constexpr (kRows > 4)
        for (; p + 4 <= n; p += 4) block<Type, B, 4>(x, stride, channels, row + p, local + p, w, out);
    for (; p + 2 <= n; p += 2) block<Type, B, 2>(x, stride, channels, row + p, local + p, w, out);
    for (; p < n; p++) block<Type, B, 1>(x, stride, channels, row + p, local + p, w, out);
}

template <class Element>
void finish(const float* acc, const Finish& f) {
    for (int64_t i = 0; i < f.rows; i++) {
        const float* from = acc + i * f.width;
        Element* to = static_cast<Element*>(f.y) + i * f.y_stride;
        const Element* other = static_cast<const Element*>(f.residual) + (f.residual ? i * f.residual_stride : 0);
        int64_t k = 0;
        for (; k + kLanes <= f.columns; k += kLanes) {
            Vector v = load(from + k);
            if (f.bias) v += load(f.bias + k);
            if (f.residual) v += read(other + k);
            if (f.slope != 1.0f) v = v < 0.0f ? v * f.slope : v;  // a NaN stays one
            write(to + k, v);
        }
        for (; k < f.columns; k++) {
            float v = from[k];
            if (f.bias) v += f.bias[k];
            if (f.residual) v += get(other + k);
            put(to + k, v < 0.0f ? v * f.slope : v);
        }
    }
}

// Pairs of rows, of inputs and of gradients of the outputs.
struct Pairs {
    const float* x;
    int64_t x_stride;
    const int32_t* row;
    const float* g;
    int64_t g_stride;
    const int16_t* place;
    int64_t n;
};

template <int C, int B>
inline void outer(const Pairs& pairs, int64_t channel, int64_t column, int64_t width, float* weight) {
    Vector acc[C][B];
    weight += channel * width + column;
#pragma GCC unroll 24
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) acc[c][b] = load(weight + c * width + b * kLanes);
    for (int64_t p = 0; p < pairs.n; p++) {
        const float* in = pairs.x + pairs.row[p] * pairs.x_stride + channel;
        const float* g = pairs.g + pairs.place[p] * pairs.g_stride + column;
        Vector gradient[B];
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) gradient[b] = load(g + b * kLanes);
#pragma GCC unroll 24
        for (int c = 0; c < C; c++)
#pragma GCC unroll 4
            for (int b = 0; b < B; b++) acc[c][b] += in[c] * gradient[b];
    }
#pragma GCC unroll 24
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) store(weight + c * width + b * kLanes, acc[c][b]);
}

template <int B>
void outer_columns(const Pairs& pairs, int64_t channels, int64_t column, int64_t width, float* weight) {
    constexpr int kChannels = ROS_KD_ACCUMULATORS / B < 8 ? ROS_KD_ACCUMULATORS / B : 8;
    int64_t c = 0;
    for (; c + kChannels <= channels; c += kChannels) outer<kChannels, B>(pairs, c, column, width, weight);
    if constexpr (kChannels > 4)
        for (; c + 4 <= channels; c += 4) outer<4, B>(pairs, c, column, width, weight);
    for (; c < channels; c++) outer<1, B>(pairs, c, column, width, weight);
}

void weight_gradient(const float* x, int64_t x_stride, int64_t channels, const int32_t* row, const float* g,
                     int64_t g_stride, const int16_t* place, int64_t n, int64_t width, float* weight) {
    constexpr int64_t kPairs = 128;  // whose rows stay in the first cache while the channels go by
    for (int64_t p = 0; p < n; p += kPairs) {
        const Pairs pairs{x, x_stride, row + p, g, g_stride, place + p, n - p < kPairs ? n - p : kPairs};
        int64_t k = 0;
        for (; k + kMost * kLanes <= width; k += kMost * kLanes)
            outer_columns<kMost>(pairs, channels, k, width, weight);
        if constexpr (kMost > 2)
            for (; k + 2 * kLanes <= width; k += 2 * kLanes) outer_columns<2>(pairs, channels, k, width, weight);
        for (; k < width; k += kLanes) outer_columns<1>(pairs, channels, k, width, weight);
    }
}

template <class Element>
void classify(const ros_kd::Classify& c) {
    const int64_t width = (c.classes + kLanes - 1) / kLanes * kLanes;
    float values[256], offset[256];
    Element padded[256] = {};
    for (int64_t k = 0; k < width; k++) offset[k] = k < c.classes ? c.offset[k] : -1e30f;
    for (int64_t i = 0; i < c.rows; i++) {
        const Element* row = static_cast<const Element*>(c.logits) + i * c.stride;
        if ((c.rows - 1 - i) * c.stride + c.classes < width) {  // vectors would reach behind the last row
            for (int64_t k = 0; k < c.classes; k++) padded[k] = row[k];
            row = padded;
        }
        Vector most = Vector{} - 3e38f;
        for (int64_t k = 0; k < width; k += kLanes) {
            Vector v = (read(row + k) + load(offset + k)) * c.scale;
            v = load(offset + k) == -1e30f ? Vector{} - 1e30f : v;  // behind the row anything may lie
            most = v > most ? v : most;
            store(values + k, v);
        }
        float highest = most[0];
        for (int l = 1; l < kLanes; l++) highest = most[l] > highest ? most[l] : highest;
        int64_t best = 0;
        while (best < c.classes - 1 && values[best] != highest) best++;
        Vector sum = {};
        for (int64_t k = 0; k < width; k += kLanes) sum += exponential(load(values + k) - highest);
        float total = 0.0f;
        for (int l = 0; l < kLanes; l++) total += sum[l];
        c.label[i] = static_cast<uint8_t>(total == total ? best : 0);
        c.confidence[i] = 1.0f / total;
    }
}

void add(const float* x, int64_t n, float* total) {
    for (int64_t i = 0; i < n; i++) total[i] += x[i];
}

void widen(const uint16_t* x, int64_t n, float* y) {
    for (int64_t i = 0; i < n; i++) y[i] = widened(x[i]);
}

void narrow(const float* x, int64_t n, uint16_t* y) {
    for (int64_t i = 0; i < n; i++) y[i] = narrowed(x[i]);
}

template <class Type>
constexpr ros_kd::Accumulate by_vectors(int vectors) {
    if (vectors > kMost) return nullptr;
    return vectors == 1   ? accumulate<Type, 1>
           : vectors == 2 ? accumulate<Type, 2>
                          : vectors == 3 ? accumulate < Type,
           kMost >= 3 ? 3 : 1 > : accumulate < Type, kMost >= 4 ? 4 : 1 > ;
}

}  // namespace

extern "C" const ros_kd::Kernels ROS_KD_CONCAT(ros_kd_kernels_, ROS_KD_ISA) = {
    ROS_KD_STRING(ROS_KD_ISA),
    kLanes,
    kMost,
#if defined(__AVX512BF16__)
    1,
#else
    0,
#endif
    {by_vectors<Float>(1), by_vectors<Float>(2), by_vectors<Float>(3), by_vectors<Float>(4)},
    {by_vectors<BFloat16>(1), by_vectors<BFloat16>(2), by_vectors<BFloat16>(3), by_vectors<BFloat16>(4)},
    finish<float>,
    finish<uint16_t>,
    weight_gradient,
    classify<float>,
    classify<uint16_t>,
    add,
    widen,
    narrow};
