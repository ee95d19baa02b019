// Written by jetgate: runs the network with its accept bits, and the comparison alone, on raw codes. Every bit is a code of its own.
#include "decision/jetgate_decision.h"
#include "jetgate_ports.h"

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

typedef ap_uint<@N_CUTS@> Accept;
typedef void (*Block)(const int64_t *in, int64_t *out, size_t begin, size_t end);

void spread(const Accept &accept, int64_t *out) {
    for (unsigned i = 0; i < @N_CUTS@; i++)
        out[i] = accept[i];
}

void run_network(const int64_t *in, int64_t *out, size_t begin, size_t end) {
    for (size_t event = begin; event < end; event++) {
        @INPUT@ inputs[@N_INPUTS@];
        @OUTPUT@ outputs[@N_OUTPUTS@];
        Accept accept = 0;
        int64_t *row = out + event * (@N_OUTPUTS@ + @N_CUTS@);
        jetgate_put<@INPUT_BITS@, @N_INPUTS@>(in + event * @N_INPUTS@, inputs);
        @TOP@_decision(inputs, outputs, accept);
        jetgate_get<@OUTPUT_RAW@<@OUTPUT_BITS@>, @OUTPUT_BITS@, @N_OUTPUTS@>(outputs, row);
        spread(accept, row + @N_OUTPUTS@);
    }
}

void run_comparison(const int64_t *in, int64_t *out, size_t begin, size_t end) {
    for (size_t event = begin; event < end; event++) {
        @OUTPUT@ outputs[@N_OUTPUTS@];
        jetgate_put<@OUTPUT_BITS@, @N_OUTPUTS@>(in + event * @N_OUTPUTS@, outputs);
        spread(@TOP@_cuts::decide(outputs), out + event * @N_CUTS@);
    }
}

const char *run(Block block, const int64_t *in, int64_t *out, size_t events, size_t threads) {
    if (events == 0)
        return nullptr;
    block(in, out, 0, 1);  // fills tables that the generated code keeps in static storage, before there are threads
    std::vector<std::thread> pool;
    for (size_t t = 0; t < threads; t++)
        pool.emplace_back(block, in, out, events * t / threads, events * (t + 1) / threads);
    for (auto &worker : pool)
        worker.join();
    return nullptr;
}

}  // namespace

extern "C" const char *jetgate_decision(const int64_t *in, int64_t *out, size_t events, size_t threads) {
    return run(run_network, in, out, events, threads);
}

extern "C" const char *jetgate_comparison(const int64_t *in, int64_t *out, size_t events, size_t threads) {
    return run(run_comparison, in, out, events, threads);
}
