// Copyright 2026 The ros_kd authors
// SPDX-License-Identifier: Apache-2.0

#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "api.h"

namespace {

// libgomp's entry for a parallel region, which LLVM's and Intel's runtimes offer, too.
using GompParallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
std::atomic<GompParallel> gomp_parallel{nullptr};

struct Work {
    const std::function<void(int64_t)>& task;
    int64_t tasks;
    std::atomic<int64_t> next{0};
};

void run(void* data) {
    Work& work = *static_cast<Work*>(data);
    for (int64_t i; (i = work.next.fetch_add(1)) < work.tasks;) work.task(i);
}

void run_in_own_threads(Work& work, int threads) {
    std::vector<std::thread> others;
    try {
        others.reserve(threads - 1);
        for (int i = 1; i < threads; i++) others.emplace_back(run, &work);
    } catch (const std::system_error&) {  // no more threads to be had: those that there are do the work
    } catch (const std::bad_alloc&) {
    }
    run(&work);
    for (std::thread& other : others) other.join();
}

struct Buffer {
    void* memory = nullptr;
    int64_t bytes = 0;
    ~Buffer() { std::free(memory); }
};

}  // namespace

namespace ros_kd {

void parallel(int64_t tasks, int threads, const std::function<void(int64_t)>& task) {
    Work work{task, tasks};
    const int wanted = static_cast<int>(std::min<int64_t>(threads, tasks));
    if (wanted <= 1)
        run(&work);
    else if (const GompParallel openmp = gomp_parallel.load())
        openmp(run, &work, static_cast<unsigned>(wanted), 0);
    else
        run_in_own_threads(work, wanted);
}

void* scratch(Slot slot, int64_t bytes) {
    static thread_local Buffer buffers[kSlots];
    Buffer& buffer = buffers[slot];
    if (buffer.bytes < bytes) {
        std::free(buffer.memory);
        buffer.bytes = (bytes + 63) / 64 * 64;
        buffer.memory = std::aligned_alloc(64, buffer.bytes);
        if (!buffer.memory) {
            buffer.bytes = 0;
            throw std::bad_alloc();
        }
    }
    return buffer.memory;
}

}  // namespace ros_kd

void ros_kd_use_openmp(void* address) { gomp_parallel = reinterpret_cast<GompParallel>(address); }
