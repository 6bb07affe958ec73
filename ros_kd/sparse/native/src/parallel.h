// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace ros_kd {

// Run task(0) .. task(tasks - 1) in up to `threads` threads and return when all are done. Tasks must not throw.
void parallel(int64_t tasks, int threads, const std::function<void(int64_t)>& task);

// Scratch of at least `bytes`, aligned to 64, that belongs to the calling thread until its next call with this slot.
// Throws std::bad_alloc.
enum Slot { kAccumulators, kGradients, kRows, kSlots };
void* scratch(Slot slot, int64_t bytes);

}  // namespace ros_kd
