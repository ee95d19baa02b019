// Drives the Verilog, translated by Verilator, with one event every clock. Integer codes in, integer codes out.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "Vjetgate.h"
#include "verilated.h"
#if JETGATE_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

// A port as 32-bit words, lowest first, whatever its C++ type is.
template <class Port> void put(Port &port, const std::vector<uint32_t> &words) {
    if constexpr (std::is_integral_v<Port>)
        port = Port(words[0] | (words.size() > 1 ? uint64_t(words[1]) << 32 : 0));
    else
        for (size_t i = 0; i < words.size(); i++)
            port[i] = words[i];
}

template <class Port> void get(const Port &port, std::vector<uint32_t> &words) {
    if constexpr (std::is_integral_v<Port>) {
        words[0] = uint32_t(port);
        if (words.size() > 1)
            words[1] = uint32_t(uint64_t(port) >> 32);
    } else
        for (size_t i = 0; i < words.size(); i++)
            words[i] = port[i];
}

// Elements of a port: their widths, and whether they have a sign.
struct Layout {
    size_t n;
    const int64_t *width, *is_signed;
    size_t words() const {
        size_t bits = 0;
        for (size_t i = 0; i < n; i++)
            bits += width[i];
        return bits ? (bits + 31) / 32 : 1;
    }
};

void pack(const Layout &layout, const int64_t *codes, std::vector<uint32_t> &words) {
    std::fill(words.begin(), words.end(), 0);
    size_t bit = 0;
    for (size_t i = 0; i < layout.n; i++)
        for (int64_t b = 0; b < layout.width[i]; b++, bit++)
            words[bit / 32] |= uint32_t(codes[i] >> b & 1) << bit % 32;
}

void unpack(const Layout &layout, const std::vector<uint32_t> &words, int64_t *codes) {
    size_t bit = 0;
    for (size_t i = 0; i < layout.n; i++) {
        uint64_t code = 0;
        for (int64_t b = 0; b < layout.width[i]; b++, bit++)
            code |= uint64_t(words[bit / 32] >> bit % 32 & 1) << b;
        const int64_t width = layout.width[i];
        const bool negative = layout.is_signed[i] && width && code >> (width - 1) & 1;
        codes[i] = int64_t(negative ? code | ~uint64_t(0) << width : code);
    }
}

struct Simulation {
    VerilatedContext context;
    std::unique_ptr<Vjetgate> model;

    explicit Simulation(const char *argument) {
        const char *arguments[] = {"jetgate", argument};
        context.commandArgs(argument ? 2 : 1, arguments);
#if JETGATE_TRACE
        context.traceEverOn(true);
#endif
        model.reset(new Vjetgate(&context, "top"));
        model->clk = 0;
        model->eval();
    }
    ~Simulation() { model->final(); }

    void clock() {
        model->clk = 0;
        model->eval();
        context.timeInc(1);
        model->clk = 1;
        model->eval();
        context.timeInc(1);
    }
};

void run_block(const int64_t *in, Layout inputs, int64_t *out, Layout outputs, size_t begin, size_t end, size_t latency,
               const char *argument) {
    if (begin == end)
        return;
    Simulation simulation(argument);
    std::vector<uint32_t> given(inputs.words()), found(outputs.words());
    for (size_t t = begin; t < end + latency; t++) {
        pack(inputs, in + (t < end ? t : end - 1) * inputs.n, given);
        put(simulation.model->model_inp, given);
        simulation.clock();
        if (t >= begin + latency) {
            get(simulation.model->model_out, found);
            unpack(outputs, found, out + (t - latency) * outputs.n);
        }
    }
}

}  // namespace

// Event t is on the input at rising edge t; row t of the output is what is on the output just after edge t + latency.
extern "C" void jetgate_rtl_run(const int64_t *in, size_t n_in, const int64_t *in_width, int64_t *out, size_t n_out,
                                const int64_t *out_width, const int64_t *out_signed, size_t events, size_t latency,
                                size_t threads, const char *argument) {
    const Layout inputs{n_in, in_width, nullptr}, outputs{n_out, out_width, out_signed};
    std::vector<std::thread> pool;
    for (size_t t = 0; t < threads; t++)
        pool.emplace_back(run_block, in, inputs, out, outputs, events * t / threads, events * (t + 1) / threads, latency,
                          argument);
    for (auto &worker : pool)
        worker.join();
}

#if JETGATE_TRACE
// One event is held until it fills the pipeline; then every signal is written.
extern "C" void jetgate_rtl_signals(const int64_t *in, size_t n_in, const int64_t *in_width, size_t clocks,
                                    const char *path, const char *argument) {
    const Layout inputs{n_in, in_width, nullptr};
    Simulation simulation(argument);
    std::vector<uint32_t> given(inputs.words());
    VerilatedVcdC waves;
    simulation.model->trace(&waves, 99);
    pack(inputs, in, given);
    put(simulation.model->model_inp, given);
    for (size_t t = 0; t < clocks; t++)
        simulation.clock();
    waves.open(path);
    waves.dump(simulation.context.time());
    waves.close();
}
#endif
