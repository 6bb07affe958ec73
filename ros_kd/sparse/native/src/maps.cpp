// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// Kernel maps by merging sorted keys: neighbours in one direction lie in the order of the voxels themselves.

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <new>

#include "api.h"
#include "parallel.h"

namespace {

// Merge one column of the kernel into the lists of its `run` weights.
void find_column(const int64_t* keys, int64_t inputs, const int64_t* base, int64_t rows, int64_t difference,
                 int64_t run, int64_t tile, int32_t* row, int16_t* local, int32_t* count) {
    int64_t j = std::lower_bound(keys, keys + inputs, base[0] + difference) - keys;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t lowest = base[i] + difference;
        while (j < inputs && keys[j] < lowest) j++;
        for (int64_t k = j; k < inputs && keys[k] < lowest + run; k++) {
            const int64_t h = keys[k] - lowest, at = h * tile + count[h]++;
            row[at] = static_cast<int32_t>(k);
            local[at] = static_cast<int16_t>(i);
        }
    }
}

struct Lists {
    int32_t* row;
    int16_t* local;
    int32_t* count;
};

// Room for the lists of one tile before they are closed up; its pages stay in the cache from tile to tile.
Lists room(int64_t tile, int64_t volume) {
    auto* memory = static_cast<uint8_t*>(ros_kd::scratch(ros_kd::kRows, tile * volume * 6 + volume * 4 + 8));
    auto* count = reinterpret_cast<int32_t*>(memory);
    auto* row = count + volume;
    return {row, reinterpret_cast<int16_t*>(row + tile * volume), count};
}

// Put the lists next to each other.
void append(const Lists& lists, int64_t tile, int64_t volume, int32_t* row, int16_t* local, int32_t* start) {
    start[0] = 0;
    for (int64_t v = 0; v < volume; v++) {
        std::copy_n(lists.row + v * tile, lists.count[v], row + start[v]);
        std::copy_n(lists.local + v * tile, lists.count[v], local + start[v]);
        start[v + 1] = start[v] + lists.count[v];
    }
}

}  // namespace

int32_t ros_kd_build_map(const int64_t* keys, int64_t inputs, const int64_t* base, int64_t outputs,
                         const int64_t* column, int64_t columns, int64_t run, int64_t tile, int32_t threads,
                         int32_t* row, int16_t* local, int32_t* start) try {
    if (inputs < 0 || outputs < 0 || inputs > INT32_MAX || outputs > INT32_MAX || columns <= 0 || run <= 0 ||
        tile <= 0 || tile > INT16_MAX || !column || (outputs && (!base || !row || !local || !start)) ||
        (inputs && !keys))
        return ROS_KD_BAD_ARGUMENT;
    if (std::adjacent_find(keys, keys + inputs, std::greater_equal<int64_t>()) != keys + inputs)
        return ROS_KD_BAD_ARGUMENT;  // lists would outgrow their room
    const int64_t volume = columns * run;
    std::atomic<bool> failed{false};
    ros_kd::parallel((outputs + tile - 1) / tile, threads, [&](int64_t t) {
        try {
            const Lists lists = room(tile, volume);
            std::fill_n(lists.count, volume, 0);
            for (int64_t c = 0; c < columns; c++)
                find_column(keys, inputs, base + t * tile, std::min(tile, outputs - t * tile), column[c], run, tile,
                            lists.row + c * run * tile, lists.local + c * run * tile, lists.count + c * run);
            append(lists, tile, volume, row + t * tile * volume, local + t * tile * volume, start + t * (volume + 1));
        } catch (const std::bad_alloc&) {
            failed = true;
        }
    });
    return failed ? ROS_KD_NO_MEMORY : ROS_KD_OK;
} catch (const std::bad_alloc&) {
    return ROS_KD_NO_MEMORY;
}

int32_t ros_kd_reverse_map(const ros_kd_map* map, int64_t tile, int32_t threads, int32_t* row, int16_t* local,
                           int32_t* start) try {
    const ros_kd_map& m = *map;
    if (m.inputs < 0 || m.outputs < 0 || m.tile <= 0 || m.volume <= 0 || tile <= 0 || tile > INT16_MAX ||
        (m.outputs && (!m.row || !m.local || !m.start)) || (m.inputs && (!row || !local || !start)))
        return ROS_KD_BAD_ARGUMENT;
    const int64_t tiles = (m.inputs + tile - 1) / tile, room_of_tile = tile * m.volume;
    std::unique_ptr<int32_t[]> output(new int32_t[tiles * room_of_tile]);  // by tile, weight and input, -1 for none
    ros_kd::parallel(tiles, threads, [&](int64_t t) { std::fill_n(&output[t * room_of_tile], room_of_tile, -1); });
    // An input meets a weight at most once, so that no two threads write to one place.
    ros_kd::parallel((m.outputs + m.tile - 1) / m.tile, threads, [&](int64_t t) {
        const int64_t at = t * m.tile * m.volume;
        const int32_t* from = m.start + t * (m.volume + 1);
        for (int64_t v = 0; v < m.volume; v++)
            for (int64_t p = at + from[v]; p < at + from[v + 1]; p++)
                output[m.row[p] / tile * room_of_tile + v * tile + m.row[p] % tile] =
                    static_cast<int32_t>(t * m.tile + m.local[p]);
    });
    ros_kd::parallel(tiles, threads, [&](int64_t t) {
        int32_t *to = row + t * room_of_tile, *begin = start + t * (m.volume + 1), n = 0;
        int16_t* place = local + t * room_of_tile;
        for (int64_t v = 0; v < m.volume; v++) {
            begin[v] = n;
            const int32_t* of = &output[t * room_of_tile + v * tile];
            for (int64_t i = 0; i < tile; i++)
                if (of[i] >= 0) to[n] = of[i], place[n++] = static_cast<int16_t>(i);
        }
        begin[m.volume] = n;
    });
    return ROS_KD_OK;
} catch (const std::bad_alloc&) {
    return ROS_KD_NO_MEMORY;
}
