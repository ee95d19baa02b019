// Written by jetgate: the test bench, for g++, C simulation and co-simulation alike. Raw bits in, raw bits out; it ends with 0 only if
// every output of every event is the reference's.
#include "firmware/@TOP@.h"
#include "jetgate_ports.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

const int wrong_bits = 1, no_test = 2;
typedef std::vector<std::vector<unsigned long long> > Vectors;

bool fail(const std::string &name, const std::string &what) {
    std::cout << "ERROR: jetgate: " << name << ": " << what << std::endl;
    return false;
}

// Compilers run it in folders of their own, below that of the project.
bool open_vectors(std::ifstream &stream, const std::string &folder, const std::string &name) {
    const char *places[] = {"tb_data", "../../../../tb_data"};
    if (!folder.empty()) {
        stream.open((folder + "/" + name).c_str());
        return stream.is_open();
    }
    for (int i = 0; i < 2 && !stream.is_open(); i++)
        stream.open((std::string(places[i]) + "/" + name).c_str());
    return stream.is_open();
}

// First line: events, elements of each, bits of an element. Then a line an event, hexadecimal, two's complement.
bool read_vectors(const std::string &folder, const std::string &name, size_t elements, unsigned bits, Vectors &vectors) {
    std::ifstream stream;
    if (!open_vectors(stream, folder, name))
        return fail(name, "the vectors are missing");
    size_t events = 0, found_elements = 0;
    unsigned found_bits = 0;
    std::string line;
    std::getline(stream, line);
    if (!(std::istringstream(line) >> events >> found_elements >> found_bits) || events == 0)
        return fail(name, "the first line is not 'events elements bits'");
    if (found_elements != elements || found_bits != bits)
        return fail(name, "the vectors are of another port: '" + line + "'");
    bool zero = true;
    while (std::getline(stream, line)) {
        std::vector<unsigned long long> event;
        std::istringstream words(line);
        std::string word;
        while (words >> word) {
            char *end = 0;
            const unsigned long long raw = std::strtoull(word.c_str(), &end, 16);
            if (*end != 0 || word.size() != (bits + 3) / 4 || (bits < 64 && (raw >> bits) != 0))
                return fail(name, "'" + word + "' is not a hexadecimal number of the port");
            event.push_back(raw);
            zero = zero && raw == 0;
        }
        if (event.size() != elements)
            return fail(name, "a line is short or long: '" + line + "'");
        vectors.push_back(event);
    }
    if (vectors.size() != events) {
        std::ostringstream what;
        what << vectors.size() << " events, " << events << " are announced: the file is short or long";
        return fail(name, what.str());
    }
    if (zero)
        return fail(name, "every bit is 0: that tests nothing");
    return true;
}

}  // namespace

int main(int argc, char **argv) {
    const std::string folder = argc > 1 ? argv[1] : "";
    Vectors given, expected;
    if (!read_vectors(folder, "inputs.hex", @N_INPUTS@, @INPUT_BITS@, given) ||
        !read_vectors(folder, "outputs.hex", @N_OUTPUTS@, @OUTPUT_BITS@, expected))
        return no_test;
    if (given.size() != expected.size()) {
        fail("outputs.hex", "there are not as many events as in inputs.hex");
        return no_test;
    }
    size_t differing = 0;
    for (size_t event = 0; event < given.size(); event++) {
        @INPUTS@;
        @OUTPUTS@;
        unsigned long long found[@N_OUTPUTS@] = {};
        jetgate_put<@INPUT_BITS@, @N_INPUTS@>(&given[event][0], inputs);
        @TOP@(inputs, outputs);
        if (!jetgate_get<ap_uint<@OUTPUT_BITS@>, @OUTPUT_BITS@, @N_OUTPUTS@>(outputs, found)) {
            std::printf("ERROR: jetgate: event %lu: the output stream does not hold one event\n", (unsigned long)event);
            differing += @N_OUTPUTS@;
            continue;
        }
        for (unsigned i = 0; i < @N_OUTPUTS@; i++) {
            if (found[i] != expected[event][i] && differing++ < 10)
                std::printf("ERROR: jetgate: event %lu, output %u: 0x%llx instead of 0x%llx\n", (unsigned long)event, i, found[i],
                            expected[event][i]);
        }
    }
    std::printf("jetgate: %lu of %lu outputs of %lu events differ\n", (unsigned long)differing,
                (unsigned long)(given.size() * @N_OUTPUTS@), (unsigned long)given.size());
    return differing == 0 ? 0 : wrong_bits;
}
