// Written by jetgate: notes the codes of a layer's outputs, in traced builds alone.
#ifndef JETGATE_TAP_H_
#define JETGATE_TAP_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"

#include <cstddef>
#include <cstdint>
#include <string>

extern thread_local int64_t *jetgate_cursor;
extern thread_local std::string jetgate_fault;

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> int64_t jetgate_code(ap_fixed<W, I, Q, O, N> x) {
    ap_int<W> raw = x.range(W - 1, 0);
    return raw.to_int64();
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> int64_t jetgate_code(ap_ufixed<W, I, Q, O, N> x) {
    ap_uint<W> raw = x.range(W - 1, 0);
    return raw.to_int64();
}

template <int W> int64_t jetgate_code(ap_int<W> x) { return x.to_int64(); }
template <int W> int64_t jetgate_code(ap_uint<W> x) { return x.to_int64(); }

template <class T> void jetgate_tap(const T *outputs, size_t size) {
    for (size_t i = 0; jetgate_cursor && i < size; i++)  // null where nothing is to be noted
        *jetgate_cursor++ = jetgate_code(outputs[i]);
}

// Every word is taken out and put back behind the others.
template <class Word> void jetgate_tap(hls::stream<Word> &outputs, size_t size) {
    const size_t words = outputs.size();
    if (words * Word::size != size) {
        if (jetgate_fault.empty())
            jetgate_fault = "a layer gave " + std::to_string(words * Word::size) + " codes, " + std::to_string(size) + " are declared";
        jetgate_cursor += jetgate_cursor ? size : 0;
        return;
    }
    for (size_t word = 0; word < words; word++) {
        const Word taken = outputs.read();
        jetgate_tap(taken.data, size_t(Word::size));
        outputs.write(taken);
    }
}

#endif
