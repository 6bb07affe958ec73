// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// Gather, multiply and add in one pass, a tile of outputs at a time: its sums stay in the cache until they are
// finished.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>

#include "api.h"
#include "dispatch.h"
#include "parallel.h"

namespace ros_kd {
namespace {

constexpr int64_t kIdentityTile = 256;

bool valid(const ros_kd_map& map) {
    return map.inputs >= 0 && map.outputs >= 0 && map.inputs <= INT32_MAX && map.outputs <= INT32_MAX &&
           map.volume > 0 &&
           (map.outputs == 0 || (map.row ? map.local && map.start && map.tile > 0 && map.tile <= INT16_MAX
                                         : map.volume == 1 && map.inputs == map.outputs));
}

int64_t elements(int64_t channels, int32_t type) { return type == ROS_KD_BFLOAT16 ? (channels + 1) / 2 : channels; }

const uint8_t* packed_block(const void* packed, const Blocks& blocks, int64_t channels, int64_t volume, int64_t k,
                            int64_t v) {
    // Both types take 4 bytes an element: bfloat16 comes in pairs of input channels.
    const int64_t before = blocks.begin(k) * volume + v * blocks.size(k);
    return static_cast<const uint8_t*>(packed) + before * channels * blocks.lanes * 4;
}

struct Tile {
    int64_t first, rows;   // of the outputs
    const int32_t* start;  // of each weight's list; null for the identity
    const int32_t* row;
    const int16_t* local;
};

Tile tile_of(const ros_kd_map& map, int64_t tile, int64_t t, const int32_t* own_row, const int16_t* own_local) {
    Tile result{t * tile, std::min(tile, map.outputs - t * tile), nullptr, own_row, own_local};
    if (map.row) {
        result.start = map.start + t * (map.volume + 1);
        result.row = map.row + t * tile * map.volume;
        result.local = map.local + t * tile * map.volume;
    }
    return result;
}

void convolve_tile(const ros_kd_convolution& c, const Kernels& kernels, const Blocks& blocks, const Tile& tile,
                   int64_t k, float* sums) {
    const int64_t width = blocks.size(k) * blocks.lanes, channels = elements(c.in_channels, c.type);
    const int size = c.type == ROS_KD_BFLOAT16 ? 2 : 4;
    const Accumulate accumulate =
        (c.type == ROS_KD_BFLOAT16 ? kernels.accumulate_bfloat16 : kernels.accumulate_float)[blocks.size(k) - 1];
    std::memset(sums, 0, sizeof(float) * width * tile.rows);
    const uint8_t* x = static_cast<const uint8_t*>(c.x) + (tile.start ? 0 : tile.first * c.x_stride * size);
    for (int64_t v = 0; v < c.map.volume; v++) {
        const int64_t from = tile.start ? tile.start[v] : 0, to = tile.start ? tile.start[v + 1] : tile.rows;
        if (from < to)
            accumulate(x, c.x_stride, channels, tile.row + from, tile.local + from, to - from,
                       packed_block(c.weight, blocks, channels, c.map.volume, k, v), sums);
    }
    const int64_t column = blocks.begin(k) * blocks.lanes, y_size = c.y_type == ROS_KD_BFLOAT16 ? 2 : 4;
    const auto at = [&](const void* p, int64_t stride) {
        return static_cast<uint8_t*>(const_cast<void*>(p)) + (tile.first * stride + column) * y_size;
    };
    const Finish finish{tile.rows,
                        std::min(width, c.out_channels - column),
                        width,
                        c.bias ? c.bias + column : nullptr,
                        c.residual ? at(c.residual, c.residual_stride) : nullptr,
                        c.residual_stride,
                        at(c.y, c.y_stride),
                        c.y_stride,
                        c.slope};
    (c.y_type == ROS_KD_BFLOAT16 ? kernels.finish_bfloat16 : kernels.finish_float)(sums, finish);
}

template <class Element>
void pack(const Element* weight, const int64_t* strides, int64_t in_channels, int64_t out_channels,
          const Blocks& blocks, int64_t block, int64_t v, int pair, Element* packed) {
    const int64_t width = blocks.size(block) * blocks.lanes, column = blocks.begin(block) * blocks.lanes;
    for (int64_t c = 0; c < in_channels; c += pair)
        for (int64_t k = 0; k < width; k++)
            for (int p = 0; p < pair; p++)
                *packed++ = c + p < in_channels && column + k < out_channels
                                ? weight[v * strides[0] + (c + p) * strides[1] + (column + k) * strides[2]]
                                : Element(0);
}

// The gradient of weight v over the tiles from `first` to `last`, into sums [in_channels, width].
void sum_weight_gradient(const ros_kd_map& map, const Kernels& kernels, int64_t v, int64_t first, int64_t last,
                         const float* x, int64_t in_channels, const float* g, int64_t out_channels, int64_t width,
                         float* sums) {
    std::memset(sums, 0, sizeof(float) * in_channels * width);
    auto* rows = static_cast<float*>(scratch(kGradients, sizeof(float) * map.tile * width));
    auto* own = static_cast<int16_t*>(scratch(kRows, sizeof(int16_t) * map.tile));
    std::iota(own, own + map.tile, int16_t(0));
    for (int64_t t = first; t < last; t++) {
        const Tile tile = tile_of(map, map.tile, t, nullptr, nullptr);
        const int64_t from = tile.start[v], n = tile.start[v + 1] - from;
        const float* of_tile = g + tile.first * out_channels;
        if (width == out_channels) {
            kernels.weight_gradient(x, in_channels, in_channels, tile.row + from, of_tile, width, tile.local + from, n,
                                    width, sums);
            continue;
        }
        for (int64_t p = 0; p < n; p++) {  // side by side, padded to whole vectors
            std::memcpy(rows + p * width, of_tile + tile.local[from + p] * out_channels, sizeof(float) * out_channels);
            std::memset(rows + p * width + out_channels, 0, sizeof(float) * (width - out_channels));
        }
        kernels.weight_gradient(x, in_channels, in_channels, tile.row + from, rows, width, own, n, width, sums);
    }
}

}  // namespace
}  // namespace ros_kd

using namespace ros_kd;

int64_t ros_kd_packed_bytes(int64_t volume, int64_t in_channels, int64_t out_channels, int32_t type) {
    const Blocks blocks(out_channels, kernels());
    return volume * elements(in_channels, type) * blocks.vectors * blocks.lanes * 4;
}

int32_t ros_kd_pack(const void* weight, const int64_t* strides, int64_t volume, int64_t in_channels,
                    int64_t out_channels, int32_t type, int32_t threads, void* packed) {
    if (!weight || !strides || !packed || volume <= 0 || in_channels <= 0 || out_channels <= 0)
        return ROS_KD_BAD_ARGUMENT;
    const Blocks blocks(out_channels, kernels());
    parallel(volume * blocks.count, threads, [&](int64_t task) {
        const int64_t v = task / blocks.count, k = task % blocks.count;
        auto* to = const_cast<uint8_t*>(packed_block(packed, blocks, elements(in_channels, type), volume, k, v));
        if (type == ROS_KD_BFLOAT16)
            pack(static_cast<const uint16_t*>(weight), strides, in_channels, out_channels, blocks, k, v, 2,
                 reinterpret_cast<uint16_t*>(to));
        else
            pack(static_cast<const float*>(weight), strides, in_channels, out_channels, blocks, k, v, 1,
                 reinterpret_cast<float*>(to));
    });
    return ROS_KD_OK;
}

int32_t ros_kd_convolve(const ros_kd_convolution* convolution) try {
    const ros_kd_convolution& c = *convolution;
    if (!valid(c.map) || c.in_channels <= 0 || c.out_channels <= 0 || c.x_stride < c.in_channels ||
        c.y_stride < c.out_channels || (c.residual && c.residual_stride < c.out_channels) || !c.weight ||
        (c.map.outputs && !c.y) || (c.map.inputs && !c.x) || (c.type == ROS_KD_BFLOAT16 && c.in_channels % 2))
        return ROS_KD_BAD_ARGUMENT;
    const Kernels& kernels = ros_kd::kernels();
    const Blocks blocks(c.out_channels, kernels);
    const int64_t tile = c.map.row ? c.map.tile : kIdentityTile;
    const int64_t tiles = (c.map.outputs + tile - 1) / tile;
    int32_t own_row[kIdentityTile];
    int16_t own_local[kIdentityTile];
    std::iota(own_row, own_row + kIdentityTile, 0);
    std::iota(own_local, own_local + kIdentityTile, int16_t(0));
    std::atomic<bool> failed{false};
    parallel(tiles * blocks.count, c.threads, [&](int64_t task) {
        const int64_t t = task / blocks.count, k = task % blocks.count;
        try {
            auto* sums =
                static_cast<float*>(scratch(kAccumulators, sizeof(float) * tile * kMaxVectors * kernels.lanes));
            convolve_tile(c, kernels, blocks, tile_of(c.map, tile, t, own_row, own_local), k, sums);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
    });
    return failed ? ROS_KD_NO_MEMORY : ROS_KD_OK;
} catch (const std::bad_alloc&) {
    return ROS_KD_NO_MEMORY;
}

int32_t ros_kd_weight_gradient(const ros_kd_map* map, const float* x, int64_t in_channels, const float* g,
                               int64_t out_channels, int32_t threads, float* gradient) try {
    if (!valid(*map) || (map->outputs && !map->row) || map->tile <= 0 || in_channels <= 0 || out_channels <= 0 ||
        !gradient || (map->inputs && !x) || (map->outputs && !g))
        return ROS_KD_BAD_ARGUMENT;
    const Kernels& kernels = ros_kd::kernels();
    const int64_t width = (out_channels + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
    const int64_t tiles = (map->outputs + map->tile - 1) / map->tile;
    // More than a few threads would wait for the list of the centre, which is several times longer than the others.
    const int64_t shares = std::max<int64_t>(1, std::min<int64_t>(threads / 4, tiles));
    const int64_t size = in_channels * out_channels;
    std::unique_ptr<float[]> partial(shares > 1 ? new float[shares * map->volume * size] : nullptr);
    std::atomic<bool> failed{false};
    parallel(map->volume * shares, threads, [&](int64_t task) {
        const int64_t v = task / shares, share = task % shares;
        float* to = (shares > 1 ? partial.get() : gradient) + (share * map->volume + v) * size;
        try {
            auto* sums = static_cast<float*>(scratch(kAccumulators, sizeof(float) * in_channels * width));
            sum_weight_gradient(*map, kernels, v, tiles * share / shares, tiles * (share + 1) / shares, x, in_channels,
                                g, out_channels, width, sums);
            for (int64_t i = 0; i < in_channels; i++)
                std::memcpy(to + i * out_channels, sums + i * width, sizeof(float) * out_channels);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
    });
    if (shares > 1)
        parallel(map->volume, threads, [&](int64_t v) {
            std::memcpy(gradient + v * size, &partial[v * size], sizeof(float) * size);
            for (int64_t share = 1; share < shares; share++)
                kernels.add(&partial[(share * map->volume + v) * size], size, gradient + v * size);
        });
    return failed ? ROS_KD_NO_MEMORY : ROS_KD_OK;
} catch (const std::bad_alloc&) {
    return ROS_KD_NO_MEMORY;
}
