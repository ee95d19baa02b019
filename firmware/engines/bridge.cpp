// Written by jetgate: runs the firmware on raw codes, on all cores.
#include "firmware/@TOP@.h"

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

void run_block(const int64_t *in, int64_t *out, size_t begin, size_t end) {
    @INPUT_TYPE@ inputs[@N_INPUTS@];
    @OUTPUT_TYPE@ outputs[@N_OUTPUTS@];
    for (size_t event = begin; event < end; event++) {
        for (size_t i = 0; i < @N_INPUTS@; i++)
            inputs[i].range(@INPUT_BITS@ - 1, 0) = ap_uint<@INPUT_BITS@>(in[event * @N_INPUTS@ + i]);
        @TOP@(inputs, outputs);
        for (size_t i = 0; i < @N_OUTPUTS@; i++) {
            @OUTPUT_RAW@<@OUTPUT_BITS@> raw = outputs[i].range(@OUTPUT_BITS@ - 1, 0);
            out[event * @N_OUTPUTS@ + i] = raw.to_int64();
        }
    }
}

}  // namespace

extern "C" size_t jetgate_inputs() { return @N_INPUTS@; }
extern "C" size_t jetgate_outputs() { return @N_OUTPUTS@; }

extern "C" void jetgate_run(const int64_t *in, int64_t *out, size_t events, size_t threads) {
    if (events == 0)
        return;
    run_block(in, out, 0, 1);  // fills tables that the generated code keeps in static storage, before there are threads
    std::vector<std::thread> pool;
    for (size_t t = 0; t < threads; t++)
        pool.emplace_back(run_block, in, out, events * t / threads, events * (t + 1) / threads);
    for (auto &worker : pool)
        worker.join();
}

#ifdef JETGATE_TRACE
thread_local int64_t *jetgate_cursor = nullptr;

extern "C" void jetgate_trace(const int64_t *in, int64_t *out, size_t events, size_t width) {
    std::vector<int64_t> result(@N_OUTPUTS@);
    for (size_t event = 0; event < events; event++) {
        jetgate_cursor = out + event * width;
        run_block(in + event * @N_INPUTS@, result.data(), 0, 1);
    }
    jetgate_cursor = nullptr;
}
#endif
