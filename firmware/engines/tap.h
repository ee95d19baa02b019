// Written by jetgate: notes the codes of a layer's outputs, in traced builds alone.
#ifndef JETGATE_TAP_H_
#define JETGATE_TAP_H_

#include "ap_fixed.h"
#include "ap_int.h"

#include <cstddef>
#include <cstdint>

extern thread_local int64_t *jetgate_cursor;

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

#endif
