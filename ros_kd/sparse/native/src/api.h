// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// The C interface of the library; ros_kd/sparse/native/library.py repeats it.
//
// A kernel map says which input rows each output row sums up. Outputs come in tiles of `tile` rows. For tile t and
// weight v of the kernel's `volume`, `row` and `local` hold, from t * tile * volume + start[t * (volume + 1) + v] up to
// the start of v + 1, the input rows and the places 0..tile-1 within the tile of the output rows that they go to.
//
// Every function may be called from any thread and returns 0, or -1 for arguments that cannot be, or -2 out of memory.
#pragma once

#include <cstdint>

#define ROS_KD_API extern "C" __attribute__((visibility("default")))

enum { ROS_KD_FLOAT = 0, ROS_KD_BFLOAT16 = 1 };
enum { ROS_KD_OK = 0, ROS_KD_BAD_ARGUMENT = -1, ROS_KD_NO_MEMORY = -2 };

struct ros_kd_map {
    const int32_t* row;
    const int16_t* local;
    const int32_t* start;
    int64_t inputs, outputs, tile, volume;
};

// y [outputs, out_channels] = leaky_relu(convolution of x [inputs, in_channels] + bias + residual, slope). Strides
// count elements from row to row. A map without row lists (null) joins each row with itself (volume 1).
struct ros_kd_convolution {
    ros_kd_map map;
    const void* x;
    int64_t in_channels, x_stride;
    const void* weight;  // packed
    int64_t out_channels;
    const float* bias;     // or null
    const void* residual;  // or null, of the type of y
    int64_t residual_stride;
    float slope;
    void* y;
    int64_t y_stride;
    int32_t type;  // of x and the weight
    int32_t y_type;
    int32_t threads;
};

// Which number the interface has; it changes with every change of this file.
ROS_KD_API int32_t ros_kd_version();
// Names of the instruction sets that were built and that this processor has, the fastest first; null past the end.
ROS_KD_API const char* ros_kd_instruction_set(int32_t number);
// Use the instruction set of that number; weights packed before are void.
ROS_KD_API int32_t ros_kd_choose(int32_t number);
ROS_KD_API int32_t ros_kd_bfloat16_in_hardware();
// Run tasks in the threads of an OpenMP runtime, given the address of its GOMP_parallel; null: in threads of their own.
ROS_KD_API void ros_kd_use_openmp(void* gomp_parallel);

// Bytes of packed weights.
ROS_KD_API int64_t ros_kd_packed_bytes(int64_t volume, int64_t in_channels, int64_t out_channels, int32_t type);
// Pack weights of element [v][c][k] at weight[v * strides[0] + c * strides[1] + k * strides[2]].
ROS_KD_API int32_t ros_kd_pack(const void* weight, const int64_t* strides, int64_t volume, int64_t in_channels,
                               int64_t out_channels, int32_t type, int32_t threads, void* packed);
ROS_KD_API int32_t ros_kd_convolve(const ros_kd_convolution* convolution);
// gradient [volume, in_channels, out_channels] = sum over the map's pairs of x[row]^T * g[output], all float, rows
// packed.
ROS_KD_API int32_t ros_kd_weight_gradient(const ros_kd_map* map, const float* x, int64_t in_channels, const float* g,
                                          int64_t out_channels, int32_t threads, float* gradient);

// Fill a map (row, local: tiles * tile * volume values; start: tiles * (volume + 1)) of the voxels found at
// base[i] + column[c] + h, h < run, among the sorted keys; volume = columns * run.
ROS_KD_API int32_t ros_kd_build_map(const int64_t* keys, int64_t inputs, const int64_t* base, int64_t outputs,
                                    const int64_t* column, int64_t columns, int64_t run, int64_t tile, int32_t threads,
                                    int32_t* row, int16_t* local, int32_t* start);
// Fill the map of the transposed convolution, in tiles of `tile` of the given map's inputs.
ROS_KD_API int32_t ros_kd_reverse_map(const ros_kd_map* map, int64_t tile, int32_t threads, int32_t* row,
                                      int16_t* local, int32_t* start);
// The class 0..classes-1 (at most 256) of the largest logit + offset in each row, and its softmax probability at
// temperature 1 / scale. logits [rows, classes] of `type`, rows `stride` apart.
ROS_KD_API int32_t ros_kd_classify(const void* logits, int64_t rows, int64_t classes, int64_t stride, int32_t type,
                                   const float* offset, float scale, int32_t threads, uint8_t* label,
                                   float* confidence);
// The voxels of points [n, 3] of edge `size`, in the order of the points, without those that are NaN, outside
// lower..upper (exclusive), or exactly 0 0 0: key[i] is that of point row[i], axes[i], axes[n + i] and axes[2 * n + i]
// its x, y and z, and there are `count`. scan [n]: the scan of each point, or null for scan 0. Cells have to be within
// the 18 bits of a coordinate.
ROS_KD_API int32_t ros_kd_voxel_keys(const float* points, int64_t n, const float* lower, const float* upper, float size,
                                     const int64_t* scan, int64_t* row, int64_t* key, float* axes, int64_t* count);
// Sort keys into `unique` (room for n) and count them; inverse[i] is the place of key i. inverse may be null.
ROS_KD_API int32_t ros_kd_unique(const int64_t* keys, int64_t n, int64_t* unique, int64_t* inverse, int64_t* count);
// mean [groups, channels] of the rows of x [n, channels] by index 0..groups-1, both of `type`; 0 for a group without
// rows.
ROS_KD_API int32_t ros_kd_mean(const void* x, int64_t n, int64_t channels, int64_t stride, const int64_t* index,
                               int64_t groups, int32_t type, int32_t threads, void* mean);
