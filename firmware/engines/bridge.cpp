// Written by jetgate: runs the firmware on raw codes, on all cores.
#include "firmware/@TOP@.h"
#include "jetgate_ports.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

thread_local std::string jetgate_fault;

namespace {

void run_event(const int64_t *in, int64_t *out) {
    @INPUTS@;
    @OUTPUTS@;
    jetgate_put<@INPUT_BITS@, @N_INPUTS@>(in, inputs);
    @TOP@(inputs, outputs);
    if (!jetgate_get<@OUTPUT_RAW@<@OUTPUT_BITS@>, @OUTPUT_BITS@, @N_OUTPUTS@>(outputs, out) && jetgate_fault.empty())
        jetgate_fault = "the output is not one event";
}

// Ends with the first event in which a stream was read while empty, or left with words.
void run_block(const int64_t *in, int64_t *out, size_t begin, size_t end, std::string *fault) {
    jetgate_fault.clear();
    for (size_t event = begin; event < end; event++) {
        run_event(in + event * @N_INPUTS@, out + event * @N_OUTPUTS@);
        if (!jetgate_fault.empty()) {
            *fault = "event " + std::to_string(event) + ": " + jetgate_fault;
            return;
        }
    }
}

// What went wrong, or nothing; it lives until the same thread asks again.
const char *said(const std::vector<std::string> &faults) {
    static thread_local std::string first;
    first.clear();
    for (size_t t = 0; t < faults.size() && first.empty(); t++)
        first = faults[t];
    return first.empty() ? nullptr : first.c_str();
}

}  // namespace

extern "C" size_t jetgate_inputs() { return @N_INPUTS@; }
extern "C" size_t jetgate_outputs() { return @N_OUTPUTS@; }

extern "C" const char *jetgate_run(const int64_t *in, int64_t *out, size_t events, size_t threads) {
    std::vector<std::string> faults(threads + 1);
    if (events == 0)
        return nullptr;
    run_block(in, out, 0, 1, &faults[0]);  // fills tables that the generated code keeps in static storage, before there are threads
    std::vector<std::thread> pool;
    for (size_t t = 0; t < threads; t++)
        pool.emplace_back(run_block, in, out, events * t / threads, events * (t + 1) / threads, &faults[t + 1]);
    for (auto &worker : pool)
        worker.join();
    return said(faults);
}

#ifdef JETGATE_TRACE
thread_local int64_t *jetgate_cursor = nullptr;

extern "C" const char *jetgate_trace(const int64_t *in, int64_t *out, size_t events, size_t width) {
    std::vector<int64_t> result(@N_OUTPUTS@);
    std::vector<std::string> faults(1);
    for (size_t event = 0; event < events && faults[0].empty(); event++) {
        jetgate_cursor = out + event * width;
        run_block(in + event * @N_INPUTS@, result.data(), 0, 1, &faults[0]);
    }
    jetgate_cursor = nullptr;
    return said(faults);
}
#endif
