// Written by jetgate: streams for our own builds, in place of the compilers' model, whose guard this is. That one prints a warning
// and goes on where a word is read that is not there, or is left behind; here it is an error of the event.
#ifndef X_HLS_STREAM_SIM_H
#define X_HLS_STREAM_SIM_H

#include <cstddef>
#include <string>
#include <vector>

extern thread_local std::string jetgate_fault;  // what went wrong first in the event that this thread runs

namespace hls {

template <class T> class stream {
    std::string name;
    std::vector<T> words;
    size_t first;

    void fail(const std::string &what) {
        if (jetgate_fault.empty())
            jetgate_fault = "stream '" + name + "' " + what;
    }

  public:
    explicit stream(const std::string &given = "without a name") : name(given), first(0) {}
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;
    ~stream() {
        if (!empty())
            fail("is left with " + std::to_string(size()) + " words");
    }

    bool empty() const { return first == words.size(); }
    bool full() const { return false; }
    size_t size() const { return words.size() - first; }

    void write(const T &word) { words.push_back(word); }
    void operator<<(const T &word) { write(word); }

    T read() {
        if (empty()) {
            fail("is read while it is empty");
            return T();
        }
        const T word = words[first++];
        if (empty()) {
            words.clear();
            first = 0;
        }
        return word;
    }
    void read(T &word) { word = read(); }
    void operator>>(T &word) { word = read(); }
};

}  // namespace hls

#endif
