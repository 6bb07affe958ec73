// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0

#include "dispatch.h"

#include <atomic>

#include "api.h"

#define ROS_KD_DECLARE(isa) extern "C" const ros_kd::Kernels ros_kd_kernels_##isa;
ROS_KD_DECLARE(generic)
#ifdef ROS_KD_HAVE_avx2
ROS_KD_DECLARE(avx2)
#endif
#ifdef ROS_KD_HAVE_avx512
ROS_KD_DECLARE(avx512)
#endif
#ifdef ROS_KD_HAVE_avx512bf16
ROS_KD_DECLARE(avx512bf16)
#endif

namespace {

const ros_kd::Kernels* available(int32_t number) {
    const ros_kd::Kernels* found[4] = {};
    int count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    [[maybe_unused]] const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#ifdef ROS_KD_HAVE_avx512bf16
    if (avx512 && __builtin_cpu_supports("avx512bf16")) found[count++] = &ros_kd_kernels_avx512bf16;
#endif
#ifdef ROS_KD_HAVE_avx512
    if (avx512) found[count++] = &ros_kd_kernels_avx512;
#endif
#ifdef ROS_KD_HAVE_avx2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found[count++] = &ros_kd_kernels_avx2;
#endif
#endif
    found[count++] = &ros_kd_kernels_generic;  // on aarch64 this is NEON
    return number >= 0 && number < count ? found[number] : nullptr;
}

std::atomic<const ros_kd::Kernels*> chosen{nullptr};

}  // namespace

namespace ros_kd {

const Kernels& kernels() {
    const Kernels* current = chosen.load();
    return current ? *current : *available(0);
}

}  // namespace ros_kd

int32_t ros_kd_version() { return 4; }

const char* ros_kd_instruction_set(int32_t number) {
    const ros_kd::Kernels* k = available(number);
    return k ? k->name : nullptr;
}

int32_t ros_kd_choose(int32_t number) {
    const ros_kd::Kernels* k = available(number);
    if (!k) return ROS_KD_BAD_ARGUMENT;
    chosen = k;
    return ROS_KD_OK;
}

int32_t ros_kd_bfloat16_in_hardware() { return ros_kd::kernels().bfloat16_hardware; }
