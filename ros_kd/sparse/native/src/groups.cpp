// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// Sorting keys into voxels, and means over the rows of a group.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "api.h"
#include "dispatch.h"
#include "parallel.h"

namespace {

constexpr int kFieldBits = 18, kDigit = 11;
constexpr int64_t kHalf = int64_t(1) << (kFieldBits - 1);  // the field of coordinate 0

// A scan fills a small box of the space of keys: offsets within the box take few bits, and few passes of a radix sort.
struct Box {
    uint64_t lowest[4];  // of batch, x, y, z
    uint64_t corner;     // the key of these
    int bits[4];

    static uint64_t field(uint64_t key, int f) {
        return f == 0 ? key >> (3 * kFieldBits) : key >> ((3 - f) * kFieldBits) & ((uint64_t(1) << kFieldBits) - 1);
    }

    Box(const int64_t* keys, int64_t n) {
        uint64_t highest[4] = {};
        std::fill_n(lowest, 4, ~uint64_t(0));
        for (int64_t i = 0; i < n; i++)
            for (int f = 0; f < 4; f++) {
                const uint64_t value = field(static_cast<uint64_t>(keys[i]), f);
                lowest[f] = std::min(lowest[f], value);
                highest[f] = std::max(highest[f], value);
            }
        corner = lowest[0] << (3 * kFieldBits) | lowest[1] << (2 * kFieldBits) | lowest[2] << kFieldBits | lowest[3];
        for (int f = 0; f < 4; f++)
            for (bits[f] = 0; (highest[f] - lowest[f]) >> bits[f]; bits[f]++) {
            }
    }

    int total() const { return bits[0] + bits[1] + bits[2] + bits[3]; }

    uint64_t offset(int64_t key) const {
        const uint64_t within = static_cast<uint64_t>(key) - corner;  // no field borrows from the next
        uint64_t result = 0;
        for (int f = 0; f < 4; f++) result = (result << bits[f]) | field(within, f);
        return result;
    }

    int64_t key(uint64_t offset) const {
        uint64_t result = corner;
        for (int f = 3; f >= 0; f--) {
            result += (offset & ((uint64_t(1) << bits[f]) - 1)) << ((3 - f) * kFieldBits);
            offset >>= bits[f];
        }
        return static_cast<int64_t>(result);
    }
};

struct Entry {
    uint64_t offset;
    int64_t place;
};

inline uint64_t sort_key(uint64_t entry) { return entry; }
inline uint64_t sort_key(const Entry& entry) { return entry.offset; }

// Least significant digit first, over the bits from `low` to `high`. `items` and `other` swap roles with each digit;
// the sorted ones are in `items` at the end.
template <class Item>
void radix_sort(std::unique_ptr<Item[]>& items, std::unique_ptr<Item[]>& other, int64_t n, int low, int high) {
    for (int shift = low; shift < high; shift += kDigit) {
        const uint64_t mask = (uint64_t(1) << std::min(kDigit, high - shift)) - 1;
        int64_t begin[(1 << kDigit) + 1] = {};
        for (int64_t i = 0; i < n; i++) begin[((sort_key(items[i]) >> shift) & mask) + 1]++;
        for (uint64_t digit = 0; digit < mask; digit++) begin[digit + 1] += begin[digit];
        for (int64_t i = 0; i < n; i++) other[begin[(sort_key(items[i]) >> shift) & mask]++] = items[i];
        items.swap(other);
    }
}

template <class Offset, class Place>
int64_t number(int64_t n, const Box& box, Offset offset, Place place, int64_t* unique, int64_t* inverse) {
    int64_t count = 0;
    uint64_t previous = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t current = offset(i);
        if (i == 0 || current != previous) unique[count++] = box.key(current);
        previous = current;
        if (inverse) inverse[place(i)] = count - 1;
    }
    return count;
}

}  // namespace

int32_t ros_kd_voxel_keys(const float* points, int64_t n, const float* lower, const float* upper, float size,
                          const int64_t* scan, int64_t* row, int64_t* key, float* axes, int64_t* count) {
    if (n < 0 || !lower || !upper || !(size > 0) || !count || (n && (!points || !row || !key || !axes)))
        return ROS_KD_BAD_ARGUMENT;
    for (int f = 0; f < 3; f++)
        if (!(std::abs(lower[f] / size) < kHalf - 2 && std::abs(upper[f] / size) < kHalf - 2))
            return ROS_KD_BAD_ARGUMENT;
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        const float x = points[3 * i], y = points[3 * i + 1], z = points[3 * i + 2];
        const bool inside =
            x >= lower[0] && x < upper[0] && y >= lower[1] && y < upper[1] && z >= lower[2] && z < upper[2];
        if (!inside || (x == 0.0f && y == 0.0f && z == 0.0f)) continue;
        int64_t result = scan ? scan[i] : 0;
        for (const float value : {x, y, z})
            result = result << kFieldBits | (static_cast<int64_t>(std::floor(value / size)) + kHalf);
        row[found] = i;
        axes[found] = x, axes[n + found] = y, axes[2 * n + found] = z;
        key[found++] = result;
    }
    *count = found;
    return ROS_KD_OK;
}

int32_t ros_kd_unique(const int64_t* keys, int64_t n, int64_t* unique, int64_t* inverse, int64_t* count) try {
    if (n < 0 || !count || (n && (!keys || !unique))) return ROS_KD_BAD_ARGUMENT;
    *count = 0;
    if (n == 0) return ROS_KD_OK;
    const Box box(keys, n);
    int place_bits = 0;
    while ((n - 1) >> place_bits) place_bits++;
    if (!inverse) place_bits = 0;
    if (box.total() + place_bits <= 64) {  // the key's offset and its place in one word
        std::unique_ptr<uint64_t[]> items(new uint64_t[n]), other(new uint64_t[n]);
        for (int64_t i = 0; i < n; i++)
            items[i] = place_bits ? box.offset(keys[i]) << place_bits | static_cast<uint64_t>(i) : box.offset(keys[i]);
        radix_sort(items, other, n, place_bits, place_bits + box.total());
        const uint64_t mask = (uint64_t(1) << place_bits) - 1;
        *count = number(
            n, box, [&](int64_t i) { return items[i] >> place_bits; }, [&](int64_t i) { return items[i] & mask; },
            unique, inverse);
    } else {
        std::unique_ptr<Entry[]> items(new Entry[n]), other(new Entry[n]);
        for (int64_t i = 0; i < n; i++) items[i] = {box.offset(keys[i]), i};
        radix_sort(items, other, n, 0, box.total());
        *count = number(
            n, box, [&](int64_t i) { return items[i].offset; }, [&](int64_t i) { return items[i].place; }, unique,
            inverse);
    }
    return ROS_KD_OK;
} catch (const std::bad_alloc&) {
    return ROS_KD_NO_MEMORY;
}

int32_t ros_kd_classify(const void* logits, int64_t rows, int64_t classes, int64_t stride, int32_t type,
                        const float* offset, float scale, int32_t threads, uint8_t* label, float* confidence) {
    if (rows < 0 || classes <= 0 || classes > 256 || stride < classes || !offset || !(scale > 0) ||
        (rows && (!logits || !label || !confidence)))
        return ROS_KD_BAD_ARGUMENT;
    const ros_kd::Kernels& kernels = ros_kd::kernels();
    constexpr int64_t kShare = 2048;
    ros_kd::parallel((rows + kShare - 1) / kShare, threads, [&](int64_t share) {
        const int64_t first = share * kShare, size = type == ROS_KD_BFLOAT16 ? 2 : 4;
        const ros_kd::Classify work{static_cast<const uint8_t*>(logits) + first * stride * size,
                                    std::min(kShare, rows - first),
                                    classes,
                                    stride,
                                    offset,
                                    scale,
                                    label + first,
                                    confidence + first};
        (type == ROS_KD_BFLOAT16 ? kernels.classify_bfloat16 : kernels.classify_float)(work);
    });
    return ROS_KD_OK;
}

int32_t ros_kd_mean(const void* x, int64_t n, int64_t channels, int64_t stride, const int64_t* index, int64_t groups,
                    int32_t type, int32_t threads, void* mean) try {
    if (n < 0 || groups < 0 || channels <= 0 || stride < channels || (n && (!x || !index)) || (groups && !mean))
        return ROS_KD_BAD_ARGUMENT;
    const ros_kd::Kernels& kernels = ros_kd::kernels();
    // Each task owns a range of groups and looks at every row's index: no sums are shared, and their order is fixed.
    const int64_t shares = std::max<int64_t>(1, std::min<int64_t>(threads, groups));
    std::unique_ptr<float[]> sums(type == ROS_KD_BFLOAT16 ? new float[groups * channels] : nullptr);
    float* total = type == ROS_KD_BFLOAT16 ? sums.get() : static_cast<float*>(mean);
    std::unique_ptr<int32_t[]> count(new int32_t[groups]);
    std::atomic<bool> failed{false};
    ros_kd::parallel(shares, threads, [&](int64_t share) {
        const int64_t from = groups * share / shares, to = groups * (share + 1) / shares;
        std::memset(total + from * channels, 0, sizeof(float) * (to - from) * channels);
        std::fill(&count[from], &count[to], 0);
        try {
            auto* wide = static_cast<float*>(ros_kd::scratch(ros_kd::kRows, sizeof(float) * channels));
            for (int64_t i = 0; i < n; i++) {
                const int64_t g = index[i];
                if (g < from || g >= to) continue;
                const float* row = static_cast<const float*>(x) + i * stride;
                if (type == ROS_KD_BFLOAT16) {
                    kernels.widen(static_cast<const uint16_t*>(x) + i * stride, channels, wide);
                    row = wide;
                }
                kernels.add(row, channels, total + g * channels);
                count[g]++;
            }
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        for (int64_t g = from; g < to; g++) {
            const float divisor = static_cast<float>(std::max(count[g], 1));
            for (int64_t c = g * channels; c < (g + 1) * channels; c++) total[c] /= divisor;
        }
        if (type == ROS_KD_BFLOAT16)
            kernels.narrow(total + from * channels, (to - from) * channels,
                           static_cast<uint16_t*>(mean) + from * channels);
    });
    return failed ? ROS_KD_NO_MEMORY : ROS_KD_OK;
} catch (const std::bad_alloc&) {
    return ROS_KD_NO_MEMORY;
}
