# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Scores as JSON: the twin is stream.pipeline.pending.PendingBatch.encoded, which says what is written."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport NAN, signbit
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcpy

cdef enum:
    FIXED_JOINTS = 8
    # Characters that any number takes at most: -2.2250738585072014e-308, -9223372036854775808.
    NUMBER = 24

cdef double SMALL = 1_000_000

cdef struct Page:
    char* data
    Py_ssize_t used
    Py_ssize_t room

cdef struct Texts:
    const char* next
    const char* end


def write(
    list names,
    const int64_t[::1] event_times,
    list customers,
    list terminals,
    const double[::1] amounts,
    const double[:, ::1] scores,
    const double[::1] thresholds,
    const float[:, ::1] features,
    list joints,
    object encode,
    list written,
):
    """Write the scores of a batch into `written`, where it has nothing yet.

    `joints` are what stands before, between and behind the values; `encode` is msgspec's, which is asked for
    what is not written here: all numbers that are not small and whole, in one list, and strings with escapes.
    """
    cdef Py_ssize_t n, m, count = len(written), models = scores.shape[1], width = features.shape[1]
    cdef double threshold = NAN
    cdef const char* threshold_text = NULL
    cdef Py_ssize_t threshold_size = 0
    cdef Page page
    cdef Texts texts
    if not (
        count == len(names) == len(customers) == len(terminals) == event_times.shape[0] == amounts.shape[0]
        and count == scores.shape[0] == thresholds.shape[0] == features.shape[0]
        and models >= 1
        and len(joints) == FIXED_JOINTS + models
    ):
        raise ValueError("columns of one batch are as long as each other")
    cdef bytes numbers = encode(_hard_numbers(amounts, scores, thresholds, features, written))
    texts.next = PyBytes_AS_STRING(numbers) + 1
    texts.end = texts.next + PyBytes_GET_SIZE(numbers) - 2
    page.data = NULL
    page.room = 0
    try:
        for n in range(count):
            if PyBytes_GET_SIZE(<bytes?>written[n]):
                continue
            page.used = 0
            _add_joint(&page, joints, 0)
            _add_string(&page, names[n], encode)
            _add_joint(&page, joints, 1)
            _add_integer(&page, event_times[n])
            _add_joint(&page, joints, 2)
            _add_string(&page, customers[n], encode)
            _add_joint(&page, joints, 3)
            _add_string(&page, terminals[n], encode)
            _add_joint(&page, joints, 4)
            _add_number(&page, amounts[n], &texts)
            _add_joint(&page, joints, 5)
            _add_number(&page, scores[n, 0], &texts)
            _add_joint(&page, joints, 6)
            if _is_easy(thresholds[n]):
                _add_number(&page, thresholds[n], &texts)
            else:
                if thresholds[n] != threshold:
                    threshold = thresholds[n]
                    threshold_size = _next(&texts, &threshold_text)
                _add(&page, threshold_text, threshold_size)
            _add_joint(&page, joints, 7)
            for m in range(width):
                if m:
                    _add(&page, b",", 1)
                _add_number(&page, features[n, m], &texts)
            for m in range(1, models):
                _add_joint(&page, joints, FIXED_JOINTS - 1 + m)
                _add_number(&page, scores[n, m], &texts)
            _add_joint(&page, joints, FIXED_JOINTS - 1 + models)
            written[n] = PyBytes_FromStringAndSize(page.data, page.used)
    finally:
        PyMem_Free(page.data)


cdef list _hard_numbers(
    const double[::1] amounts,
    const double[:, ::1] scores,
    const double[::1] thresholds,
    const float[:, ::1] features,
    list written,
):
    """Return the numbers that are not written here, in the order in which they are needed.

    A threshold that was the last one's too is not there again.
    """
    cdef list hard = []
    cdef Py_ssize_t n, m
    cdef double threshold = NAN
    for n in range(len(written)):
        if PyBytes_GET_SIZE(<bytes?>written[n]):
            continue
        if not _is_easy(amounts[n]):
            hard.append(amounts[n])
        if not _is_easy(scores[n, 0]):
            hard.append(scores[n, 0])
        if not _is_easy(thresholds[n]) and thresholds[n] != threshold:
            threshold = thresholds[n]
            hard.append(threshold)
        for m in range(features.shape[1]):
            if not _is_easy(features[n, m]):
                hard.append(<double>features[n, m])
        for m in range(1, scores.shape[1]):
            if not _is_easy(scores[n, m]):
                hard.append(scores[n, m])
    return hard


cdef inline bint _is_easy(double value) noexcept nogil:
    """Tell whether a number is whole and small; a negative zero, a NaN are not."""
    return 0 <= value < SMALL and value == <int>value and not signbit(value)


cdef inline int _reserve(Page* page, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = page.used + more
    cdef char* data
    if room > page.room:
        room *= 2
        data = <char*>PyMem_Realloc(page.data, room)
        if data == NULL:
            raise MemoryError
        page.data = data
        page.room = room
    return 0


cdef inline int _add(Page* page, const char* text, Py_ssize_t size) except -1:
    _reserve(page, size)
    memcpy(page.data + page.used, text, size)
    page.used += size
    return 0


cdef inline int _add_joint(Page* page, list joints, Py_ssize_t place) except -1:
    cdef bytes joint = <bytes?>joints[place]
    return _add(page, PyBytes_AS_STRING(joint), PyBytes_GET_SIZE(joint))


cdef inline int _add_string(Page* page, object string, object encode) except -1:
    cdef Py_ssize_t size, n
    cdef const char* text = PyUnicode_AsUTF8AndSize(string, &size)
    cdef bytes escaped
    for n in range(size):
        if <uint8_t>text[n] < b" " or text[n] == b'"' or text[n] == b"\\":
            escaped = <bytes?>encode(string)
            return _add(page, PyBytes_AS_STRING(escaped), PyBytes_GET_SIZE(escaped))
    _add(page, b'"', 1)
    _add(page, text, size)
    return _add(page, b'"', 1)


cdef inline int _add_integer(Page* page, int64_t value) except -1:
    _reserve(page, NUMBER)
    if value < 0:
        page.data[page.used] = b"-"
        page.used += 1
    _digits(page, 0 - <uint64_t>value if value < 0 else <uint64_t>value)
    return 0


cdef inline int _add_number(Page* page, double value, Texts* texts) except -1:
    cdef const char* text = NULL
    cdef Py_ssize_t size
    if not _is_easy(value):
        size = _next(texts, &text)
        return _add(page, text, size)
    _reserve(page, NUMBER)
    _digits(page, <uint64_t>value)
    page.data[page.used] = b"."
    page.data[page.used + 1] = b"0"
    page.used += 2
    return 0


cdef inline void _digits(Page* page, uint64_t value) noexcept nogil:
    """Write a whole number, for which there is room."""
    cdef char[NUMBER] digits
    cdef int first = NUMBER
    while True:
        first -= 1
        digits[first] = <char>(48 + value % 10)
        value //= 10
        if not value:
            break
    memcpy(page.data + page.used, digits + first, NUMBER - first)
    page.used += NUMBER - first


cdef inline Py_ssize_t _next(Texts* texts, const char** text) except -1:
    """Take the next of msgspec's numbers; return its size."""
    cdef const char* begin = texts.next
    cdef const char* end
    if begin >= texts.end:
        raise ValueError("fewer numbers were encoded than are to be written")
    end = <const char*>memchr(begin, b",", texts.end - begin)
    if end == NULL:
        end = texts.end
    texts.next = end + 1
    text[0] = begin
    return end - begin
