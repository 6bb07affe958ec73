// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// What is compiled once for each instruction set: inner loops on rows of features, and nothing else.
#pragma once

#include <cstdint>

namespace ros_kd {

// Most vectors of output channels that one pass over the inputs serves; weights are packed in blocks of this many.
constexpr int kMaxVectors = 4;

// out[local[p]] += x[row[p]] * w for p < n. x: rows of `channels` values, `stride` elements apart; for bfloat16
// `channels` counts pairs, `stride` single elements. w: one packed block. out: `width` = vectors * lanes floats a row.
using Accumulate = void (*)(const void* x, int64_t stride, int64_t channels, const int32_t* row, const int16_t* local,
                            int64_t n, const void* w, float* out);

// y[i] = leaky_relu(acc[i] + bias + residual[i], slope) for `rows` rows of `columns` values; bias and residual may be
// null. Rows of acc are `width` apart, of y and residual as given; both are float or bfloat16.
struct Finish {
    int64_t rows, columns, width;
    const float* bias;
    const void* residual;
    int64_t residual_stride;
    void* y;
    int64_t y_stride;
    float slope;
};

// weight[c][k] += sum over p < n of x[row[p]][c] * g[place[p]][k] for c < channels and k < width, a multiple of the
// lanes. Rows of x and g are their strides apart, of weight `width`.
using WeightGradient = void (*)(const float* x, int64_t x_stride, int64_t channels, const int32_t* row, const float* g,
                                int64_t g_stride, const int16_t* place, int64_t n, int64_t width, float* weight);

// Of each of `rows` rows of `classes` logits, `stride` apart: the class of the largest (logit + offset[class]), and its
// softmax probability at temperature 1 / scale. At most 256 classes.
struct Classify {
    const void* logits;
    int64_t rows, classes, stride;
    const float* offset;
    float scale;
    uint8_t* label;
    float* confidence;
};

struct Kernels {
    const char* name;
    int lanes;              // floats in a vector
    int max_vectors;        // at most kMaxVectors
    int bfloat16_hardware;  // whether bfloat16 is multiplied as such
    Accumulate accumulate_float[kMaxVectors], accumulate_bfloat16[kMaxVectors];  // by number of vectors - 1
    void (*finish_float)(const float* acc, const Finish& f);
    void (*finish_bfloat16)(const float* acc, const Finish& f);
    WeightGradient weight_gradient;
    void (*classify_float)(const Classify& c);
    void (*classify_bfloat16)(const Classify& c);
    void (*add)(const float* x, int64_t n, float* total);    // total[i] += x[i]
    void (*widen)(const uint16_t* x, int64_t n, float* y);   // bfloat16 to float
    void (*narrow)(const float* x, int64_t n, uint16_t* y);  // float to bfloat16, to the nearest, ties to even
};

}  // namespace ros_kd
