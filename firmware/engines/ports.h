// Written by jetgate: puts the codes of an event on a port and takes them off it, be the port an array or a stream of words.
#ifndef JETGATE_PORTS_H_
#define JETGATE_PORTS_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"

#include <cstddef>

template <unsigned BITS, size_t N, class Code, class T> void jetgate_put(const Code *codes, T *port) {
    for (size_t i = 0; i < N; i++)
        port[i].range(BITS - 1, 0) = ap_uint<BITS>(codes[i]);
}

// Words in the order of the contract, the elements of each one after the other.
template <unsigned BITS, size_t N, class Code, class Word> void jetgate_put(const Code *codes, hls::stream<Word> &port) {
    for (size_t i = 0; i < N; i += Word::size) {
        Word word;
        jetgate_put<BITS, Word::size>(codes + i, word.data);
        port.write(word);
    }
}

// Raw decides whether the highest bit is a sign.
template <class Raw, unsigned BITS, size_t N, class Code, class T> bool jetgate_get(const T *port, Code *codes) {
    for (size_t i = 0; i < N; i++) {
        const Raw raw = port[i].range(BITS - 1, 0);
        codes[i] = Code(raw.to_int64());
    }
    return true;
}

// False where the stream does not hold exactly one event.
template <class Raw, unsigned BITS, size_t N, class Code, class Word>
bool jetgate_get(hls::stream<Word> &port, Code *codes) {
    for (size_t i = 0; i < N; i += Word::size) {
        if (port.empty())
            return false;
        const Word word = port.read();
        jetgate_get<Raw, BITS, Word::size>(word.data, codes + i);
    }
    return port.empty();
}

#endif
