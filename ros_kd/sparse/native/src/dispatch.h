// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels.h"

namespace ros_kd {

// The kernels in use: the fastest that this processor runs, unless others were chosen.
const Kernels& kernels();

// Output channels in blocks of up to max_vectors vectors, as even as can be.
struct Blocks {
    int64_t vectors, count;
    int lanes;
    Blocks(int64_t channels, const Kernels& k)
        : vectors((channels + k.lanes - 1) / k.lanes),
          count((vectors + k.max_vectors - 1) / k.max_vectors),
          lanes(k.lanes) {}
    int64_t begin(int64_t i) const { return vectors * i / count; }  // in vectors
    int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
};

}  // namespace ros_kd
