# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Scores as JSON: the twin is stream.pipeline.pending.PendingBatch.encoded, which says what is written."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport fabs, signbit
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

cdef enum:
    FIXED_JOINTS = 8
    # Characters that a number takes at most that is written here: -0.000012345678901234567.
    NUMBER = 24
    # What is to be free for one.
    ROOM = 2 * NUMBER
    FIVES = 24

cdef double SMALL = 1_000_000

cdef extern from *:
    ctypedef unsigned long long uint128_t "unsigned __int128"

cdef struct Page:
    char* data
    Py_ssize_t used
    Py_ssize_t room

cdef struct Texts:
    const char* next
    const char* end

cdef uint64_t[FIVES] POWERS_OF_FIVE
cdef char[200] PAIRS


cdef void _fill() noexcept:
    cdef int n
    POWERS_OF_FIVE[0] = 1
    for n in range(1, FIVES):
        POWERS_OF_FIVE[n] = 5 * POWERS_OF_FIVE[n - 1]
    for n in range(100):
        PAIRS[2 * n] = <char>(48 + n // 10)
        PAIRS[2 * n + 1] = <char>(48 + n % 10)


_fill()


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
    what is not written here: numbers with exponents and what is no number, in one list, and strings with
    escapes.
    """
    cdef Py_ssize_t n, m, count = len(written), models = scores.shape[1], width = features.shape[1]
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
            _add_number(&page, thresholds[n], &texts)
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
    """Return the numbers that are not written here, in the order in which they are needed."""
    cdef list hard = []
    cdef Py_ssize_t n, m
    for n in range(len(written)):
        if PyBytes_GET_SIZE(<bytes?>written[n]):
            continue
        if not _is_plain(amounts[n]):
            hard.append(amounts[n])
        if not _is_plain(scores[n, 0]):
            hard.append(scores[n, 0])
        if not _is_plain(thresholds[n]):
            hard.append(thresholds[n])
        for m in range(features.shape[1]):
            if not _is_plain(features[n, m]):
                hard.append(<double>features[n, m])
        for m in range(1, scores.shape[1]):
            if not _is_plain(scores[n, m]):
                hard.append(scores[n, m])
    return hard


cdef inline bint _is_plain(double value) noexcept nogil:
    """Tell whether a number is written here, which is without an exponent; a negative zero, a NaN are not."""
    return 1e-5 <= fabs(value) < 1e15 or (value == 0 and not signbit(value))


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
    cdef char[NUMBER] text
    cdef int first = _digits(text, 0 - <uint64_t>value if value < 0 else <uint64_t>value)
    if value < 0:
        _add(page, b"-", 1)
    return _add(page, text + first, NUMBER - first)


cdef inline int _add_number(Page* page, double value, Texts* texts) except -1:
    cdef const char* text = NULL
    cdef Py_ssize_t size
    if not _is_plain(value):
        size = _next(texts, &text)
        return _add(page, text, size)
    _reserve(page, ROOM)
    if value < 0:
        page.data[page.used] = b"-"
        page.used += 1
        value = -value
    if value < SMALL and value == <int>value:
        _decimal(page, <uint64_t>value, 0)
    else:
        _shortest(page, value)
    return 0


cdef inline void _shortest(Page* page, double value) noexcept nogil:
    """Write the shortest decimal that is read as this very number, of several the nearest.

    What is read so lies within half a step to the next numbers. The unit is the power of ten of which one to
    ten go into a step, so that the nearest of the decimals is always in there, and at most one that ends in
    a zero: that one is shorter.

    This is Schubfach (R. Giulietti). For plain numbers 128 bits make it exact, no decimal of that unit lies in
    the very middle between two numbers, and powers of two, below which steps are half as long, need no care.
    """
    cdef uint64_t bits, significand, digits, tens
    cdef uint128_t low, middle, high, rest, one
    cdef int exponent, decimals, shift
    memcpy(&bits, &value, sizeof(bits))
    significand = (bits & ((<uint64_t>1 << 52) - 1)) | <uint64_t>1 << 52
    exponent = <int>(bits >> 52) - 1075
    # The logarithm of the step, 2 ** exponent, rounded down.
    decimals = -((exponent * 1262611) >> 22)
    # From here on, halves of a step, times 10 ** decimals, are whole numbers of 2 ** -shift.
    shift = 1 - exponent - decimals
    one = <uint128_t>1 << shift
    middle = <uint128_t>(2 * significand) * POWERS_OF_FIVE[decimals]
    low = middle - POWERS_OF_FIVE[decimals]
    high = middle + POWERS_OF_FIVE[decimals]
    digits = <uint64_t>(middle >> shift)
    tens = digits // 10 * 10
    if tens * one >= low:
        digits = tens
    elif (tens + 10) * one <= high:
        digits = tens + 10
    else:
        rest = 2 * (middle & (one - 1))
        if rest > one or (rest == one and digits & 1):
            digits += 1
        _decimal(page, digits, decimals)
        return
    while decimals > 8 and digits % 100_000_000 == 0:
        digits //= 100_000_000
        decimals -= 8
    while decimals and digits % 10 == 0:
        digits //= 10
        decimals -= 1
    _decimal(page, digits, decimals)


cdef inline void _decimal(Page* page, uint64_t digits, int decimals) noexcept nogil:
    """Write a number of so many decimals, for which there is room; of none, with a zero as msgspec does."""
    cdef char* to = page.data + page.used
    cdef char[2 * NUMBER] text
    cdef int first = _digits(text, digits), whole = NUMBER - first - decimals
    # Copies of one size for all are the fastest; what is too much of them is overwritten.
    if whole > 0:
        memcpy(to, text + first, NUMBER)
        to += whole
    else:
        to[0] = b"0"
        to += 1
    to[0] = b"."
    to += 1
    if whole < 0:
        memset(to, b"0", -whole)
        to -= whole
    else:
        first += whole
    if decimals:
        memcpy(to, text + first, NUMBER)
        to += NUMBER - first
    else:
        to[0] = b"0"
        to += 1
    page.used = to - page.data


cdef inline int _digits(char* text, uint64_t value) noexcept nogil:
    """Write a whole number so that it ends at `NUMBER`; return where it begins."""
    cdef int first = NUMBER
    cdef uint32_t four
    while value >= 10_000:
        four = <uint32_t>(value % 10_000)
        value //= 10_000
        first -= 4
        memcpy(text + first, PAIRS + 2 * (four // 100), 2)
        memcpy(text + first + 2, PAIRS + 2 * (four % 100), 2)
    four = <uint32_t>value
    if four >= 100:
        first -= 2
        memcpy(text + first, PAIRS + 2 * (four % 100), 2)
        four //= 100
    if four >= 10:
        first -= 2
        memcpy(text + first, PAIRS + 2 * four, 2)
    else:
        first -= 1
        text[first] = <char>(48 + four)
    return first


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
