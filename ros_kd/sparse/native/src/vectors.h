// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
// Vectors of the instruction set that a translation unit is compiled for, as GCC and Clang have them. All of it is
// local to the unit.
#pragma once

#include <cstdint>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define ROS_KD_BYTES 64
#define ROS_KD_ACCUMULATORS 24
#elif defined(__AVX2__)
#define ROS_KD_BYTES 32
#define ROS_KD_ACCUMULATORS 12
#elif defined(__aarch64__)
#define ROS_KD_BYTES 16
#define ROS_KD_ACCUMULATORS 24
#else
#define ROS_KD_BYTES 16
#define ROS_KD_ACCUMULATORS 12
#endif

namespace {

constexpr int kLanes = ROS_KD_BYTES / 4;
constexpr int kMost = ROS_KD_ACCUMULATORS >= 24 ? 4 : 2;

typedef float Vector __attribute__((vector_size(ROS_KD_BYTES)));
typedef uint32_t Bits __attribute__((vector_size(ROS_KD_BYTES)));
typedef uint16_t Half __attribute__((vector_size(ROS_KD_BYTES / 2)));
typedef float Unaligned __attribute__((vector_size(ROS_KD_BYTES), aligned(4), may_alias));
typedef uint32_t UnalignedBits __attribute__((vector_size(ROS_KD_BYTES), aligned(4), may_alias));

inline Vector load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }
inline Bits load_bits(const uint32_t* p) { return *reinterpret_cast<const UnalignedBits*>(p); }

inline uint32_t load_pair(const uint16_t* p) {
    uint32_t pair;
    __builtin_memcpy(&pair, p, 4);  // rows of an odd width start between pairs
    return pair;
}

inline float from_bits(uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}

inline float widened(uint16_t value) { return from_bits(static_cast<uint32_t>(value) << 16); }

inline uint16_t narrowed(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    const uint32_t result =
        (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x00400000u : rounded;  // rounding could end a NaN
    return static_cast<uint16_t>(result >> 16);
}

inline float get(const float* p) { return *p; }
inline float get(const uint16_t* p) { return widened(*p); }
inline void put(float* p, float value) { *p = value; }
inline void put(uint16_t* p, float value) { *p = narrowed(value); }

inline Vector read(const float* p) { return load(p); }

inline Vector read(const uint16_t* p) {
    Half half;
    __builtin_memcpy(&half, p, sizeof half);
    return reinterpret_cast<Vector>(__builtin_convertvector(half, Bits) << 16);
}

inline void write(float* p, Vector v) { store(p, v); }

inline void write(uint16_t* p, Vector v) {
    const Bits bits = reinterpret_cast<Bits>(v);
    const Bits rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    const Bits result = (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x00400000u : rounded;  // as in `narrowed`
    const Half half = __builtin_convertvector(result >> 16, Half);
    __builtin_memcpy(p, &half, sizeof half);
}

// exp(x) for x <= 0 to a few units in the last place: 2^n times a polynomial (Cephes' expf) of the rest.
inline Vector exponential(Vector x) {
    x = x < -87.0f ? Vector{} - 87.0f : x;
    const Vector magic = Vector{} + 12582912.0f;  // adding it rounds to whole numbers
    const Vector n = (x * 1.44269504f + magic) - magic;
    const Vector r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vector p = Vector{} + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Bits power = reinterpret_cast<Bits>(n + magic) << 23;
    return reinterpret_cast<Vector>(reinterpret_cast<Bits>(p) + power);
}

}  // namespace
