// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// Random shapes through every function of the native library, against plain loops. Built with sanitizers by
// test_native_sanitized.py, so that a read or write out of bounds ends it, too.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "../../ros_kd/sparse/native/src/api.h"

namespace {

std::mt19937 random_engine(7);

int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_engine); }

std::vector<float> normal(int64_t n) {
    std::normal_distribution<float> distribution;
    std::vector<float> values(n);
    for (float& value : values) value = distribution(random_engine);
    return values;
}

uint16_t narrow(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float widen(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}

void require(bool fine, const char* what) {
    if (fine) return;
    std::printf("wrong: %s\n", what);
    std::exit(1);
}

void require_close(double got, double wanted, double tolerance, const char* what) {
    if (std::abs(got - wanted) <= tolerance * (1 + std::abs(wanted))) return;
    std::printf("wrong: %s is %g, expected %g\n", what, got, wanted);
    std::exit(1);
}

int64_t key(int64_t batch, int64_t x, int64_t y, int64_t z) { return batch << 54 | x << 36 | y << 18 | z; }

std::vector<int64_t> voxels(int64_t wanted) {
    std::set<int64_t> keys;
    const int64_t origin = between(2, (1 << 18) - 40), edge = between(2, 20);
    for (int64_t i = 0; i < wanted; i++)
        keys.insert(
            key(between(0, 1), origin + between(0, edge), origin + between(0, edge), origin + between(0, edge)));
    return {keys.begin(), keys.end()};
}

struct Map {
    std::vector<int32_t> row, start;
    std::vector<int16_t> local;
    ros_kd_map view;
    Map(int64_t inputs, int64_t outputs, int64_t tile, int64_t volume)
        : row((outputs + tile - 1) / tile * tile * volume),
          start((outputs + tile - 1) / tile * (volume + 1)),
          local(row.size()),
          view{row.data(), local.data(), start.data(), inputs, outputs, tile, volume} {}

    using Pairs = std::set<std::vector<int64_t>>;  // of (weight, input, output)
    Pairs pairs() const {
        Pairs result;
        for (int64_t t = 0; t * view.tile < view.outputs; t++)
            for (int64_t v = 0; v < view.volume; v++)
                for (int64_t p = start[t * (view.volume + 1) + v]; p < start[t * (view.volume + 1) + v + 1]; p++) {
                    const int64_t at = t * view.tile * view.volume + p;
                    result.insert({v, row[at], t * view.tile + local[at]});
                }
        return result;
    }
};

Map check_maps(const std::vector<int64_t>& keys) {
    const int64_t size = between(1, 5), half = size / 2, tile = between(1, 70), n = static_cast<int64_t>(keys.size());
    std::vector<int64_t> columns;
    for (int64_t x = -half; x < size - half; x++)
        for (int64_t y = -half; y < size - half; y++) columns.push_back(x * (int64_t(1) << 36) + y * (1 << 18) - half);
    Map map(n, n, tile, size * size * size);
    require(ros_kd_build_map(keys.data(), n, keys.data(), n, columns.data(), size * size, size, tile, 2, map.row.data(),
                             map.local.data(), map.start.data()) == ROS_KD_OK,
            "status of a map");
    std::map<int64_t, int64_t> place;
    for (int64_t i = 0; i < n; i++) place[keys[i]] = i;
    Map::Pairs expected, mirrored;
    for (int64_t c = 0; c < size * size; c++)
        for (int64_t h = 0; h < size; h++)
            for (int64_t i = 0; i < n; i++)
                if (const auto found = place.find(keys[i] + columns[c] + h); found != place.end()) {
                    expected.insert({c * size + h, found->second, i});
                    mirrored.insert({c * size + h, i, found->second});
                }
    require(map.pairs() == expected, "pairs of a map");
    Map back(n, n, between(1, 70), map.view.volume);
    require(
        ros_kd_reverse_map(&map.view, back.view.tile, 2, back.row.data(), back.local.data(), back.start.data()) == 0,
        "status of a transposed map");
    require(back.pairs() == mirrored, "pairs of a transposed map");
    return map;
}

void check_convolution(const Map& map, bool bfloat16) {
    const int64_t c = between(1, 40) * (bfloat16 ? 2 : 1), k = between(1, 150), n = map.view.inputs,
                  volume = map.view.volume;
    const int64_t x_stride = c + between(0, 3) * 2, y_stride = k + between(0, 3);
    std::vector<float> x = normal(n * x_stride), w = normal(volume * c * k), bias = normal(k),
                       residual = normal(n * y_stride);
    std::vector<uint16_t> x16(x.size()), w16(w.size()), residual16(residual.size()), y16(n * y_stride);
    for (size_t i = 0; bfloat16 && i < x.size(); i++) x[i] = widen(x16[i] = narrow(x[i]));
    for (size_t i = 0; bfloat16 && i < w.size(); i++) w[i] = widen(w16[i] = narrow(w[i]));
    for (size_t i = 0; bfloat16 && i < residual.size(); i++) residual[i] = widen(residual16[i] = narrow(residual[i]));
    std::vector<float> y(n * y_stride), expected(n * k);
    for (int64_t i = 0; i < n; i++)
        for (int64_t o = 0; o < k; o++) expected[i * k + o] = bias[o] + residual[i * y_stride + o];
    for (const auto& pair : map.pairs())
        for (int64_t i = 0; i < c; i++)
            for (int64_t o = 0; o < k; o++)
                expected[pair[2] * k + o] += x[pair[1] * x_stride + i] * w[(pair[0] * c + i) * k + o];
    const int32_t type = bfloat16 ? ROS_KD_BFLOAT16 : ROS_KD_FLOAT;
    std::vector<uint8_t> packed(ros_kd_packed_bytes(volume, c, k, type));
    const int64_t strides[3] = {c * k, k, 1};
    const void* weight = bfloat16 ? static_cast<const void*>(w16.data()) : w.data();
    require(ros_kd_pack(weight, strides, volume, c, k, type, 2, packed.data()) == ROS_KD_OK, "status of packing");
    ros_kd_convolution call{map.view,
                            bfloat16 ? static_cast<void*>(x16.data()) : x.data(),
                            c,
                            x_stride,
                            packed.data(),
                            k,
                            bias.data(),
                            bfloat16 ? static_cast<void*>(residual16.data()) : residual.data(),
                            y_stride,
                            0.25f,
                            bfloat16 ? static_cast<void*>(y16.data()) : y.data(),
                            y_stride,
                            type,
                            type,
                            2};
    require(ros_kd_convolve(&call) == ROS_KD_OK, "status of a convolution");
    for (int64_t i = 0; i < n; i++)
        for (int64_t o = 0; o < k; o++) {
            const float wanted = expected[i * k + o],
                        got = bfloat16 ? widen(y16[i * y_stride + o]) : y[i * y_stride + o];
            require_close(got, wanted < 0 ? wanted / 4 : wanted, bfloat16 ? 2e-2 : 2e-3, "a convolution's output");
        }
}

void check_weight_gradient(const Map& map) {
    const int64_t c = between(1, 40), k = between(1, 80);
    std::vector<float> x = normal(map.view.inputs * c), g = normal(map.view.outputs * k);
    std::vector<float> got(map.view.volume * c * k), expected(got.size());
    require(ros_kd_weight_gradient(&map.view, x.data(), c, g.data(), k, static_cast<int32_t>(between(1, 12)),
                                   got.data()) == ROS_KD_OK,
            "status of a gradient");
    for (const auto& pair : map.pairs())
        for (int64_t i = 0; i < c; i++)
            for (int64_t o = 0; o < k; o++)
                expected[(pair[0] * c + i) * k + o] += x[pair[1] * c + i] * g[pair[2] * k + o];
    for (size_t i = 0; i < got.size(); i++) require_close(got[i], expected[i], 2e-3, "a weight's gradient");
}

void check_groups(std::vector<int64_t> keys) {
    keys.insert(keys.end(), keys.begin(), keys.begin() + static_cast<int64_t>(keys.size()) / 2);
    if (!keys.empty() && between(0, 3) == 0) keys.push_back(key(510, (1 << 18) - 3, 2, (1 << 18) - 3));
    std::shuffle(keys.begin(), keys.end(), random_engine);
    const auto n = static_cast<int64_t>(keys.size());
    std::vector<int64_t> unique(n), inverse(n);
    int64_t count = -1;
    require(ros_kd_unique(keys.data(), n, unique.data(), inverse.data(), &count) == ROS_KD_OK, "status of sorting");
    unique.resize(count);
    const std::set<int64_t> expected(keys.begin(), keys.end());
    require(unique == std::vector<int64_t>(expected.begin(), expected.end()), "sorted keys");
    for (int64_t i = 0; i < n; i++) require(unique[inverse[i]] == keys[i], "places of keys");
    const int64_t c = between(1, 40);
    std::vector<float> x = normal(n * c), mean(count * c), sums(count * c);
    std::vector<int64_t> size(count);
    for (int64_t i = 0; i < n; i++) {
        size[inverse[i]]++;
        for (int64_t j = 0; j < c; j++) sums[inverse[i] * c + j] += x[i * c + j];
    }
    require(ros_kd_mean(x.data(), n, c, c, inverse.data(), count, ROS_KD_FLOAT, 3, mean.data()) == 0, "mean");
    for (int64_t i = 0; i < count * c; i++) require_close(mean[i], sums[i] / size[i / c], 1e-4, "a mean");
}

void check_voxels() {
    const int64_t n = between(0, 300);
    std::vector<float> points = normal(3 * n);
    const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1.0f, -1.0f, 1e30f};
    for (int64_t i = 0; i < 3 * n; i++)
        if (between(0, 5) == 0) points[i] = odd[between(0, 7)];
    const float lower[3] = {-1, -0.5f, -2}, upper[3] = {1, 1.5f, 0.25f}, size = between(0, 1) ? 0.1f : 1e-5f;
    std::vector<int64_t> scan(n), row(n), got(n);
    for (int64_t& value : scan) value = between(0, 510);
    std::vector<float> axes(3 * n);
    int64_t count = -1;
    const int32_t status = ros_kd_voxel_keys(points.data(), n, lower, upper, size, scan.data(), row.data(), got.data(),
                                             axes.data(), &count);
    if (size < 1e-4f) return require(status == ROS_KD_BAD_ARGUMENT, "cells beyond the range of keys are refused");
    require(status == ROS_KD_OK, "status of voxels");
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        bool inside = points[3 * i] != 0 || points[3 * i + 1] != 0 || points[3 * i + 2] != 0;
        int64_t cell[3];
        for (int f = 0; f < 3; f++) {
            inside = inside && points[3 * i + f] >= lower[f] && points[3 * i + f] < upper[f];
            cell[f] = inside ? static_cast<int64_t>(std::floor(points[3 * i + f] / size)) + (1 << 17) : 0;
        }
        if (!inside) continue;
        require(found < count && row[found] == i, "rows of voxels");
        for (int f = 0; f < 3; f++) require(axes[f * n + found] == points[3 * i + f], "axes of voxels");
        require(got[found++] == key(scan[i], cell[0], cell[1], cell[2]), "keys of voxels");
    }
    require(found == count, "number of voxels");
}

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 20;
    for (int32_t isa = 0; const char* name = ros_kd_instruction_set(isa); isa++) {
        require(ros_kd_choose(isa) == ROS_KD_OK, "choice of an instruction set");
        for (int i = 0; i < rounds; i++) {
            const std::vector<int64_t> keys = voxels(i == 0 ? 0 : between(1, 300));
            const Map map = check_maps(keys);
            check_convolution(map, i % 2 == 0);
            check_weight_gradient(map);
            check_groups(keys);
            check_voxels();
        }
        std::printf("%s: %d rounds\n", name, rounds);
    }
    return 0;
}
