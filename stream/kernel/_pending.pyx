# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Pending records as bytes: the twin, and what the bytes mean, is in stream.pipeline.pending_packing."""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport rint
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

cdef enum:
    ZERO = 1
    SMALL = 2
    FLOAT = 3
    MOST_OF_A_NAME = 65_535

cdef int64_t HOUR_MS = 3_600_000
cdef int64_t DAY_MS = 24 * 3_600_000


cdef inline uint8_t* _put(uint8_t* to, const void* what, size_t size) noexcept nogil:
    memcpy(to, what, size)
    return to + size


cdef inline uint32_t _bits(double value) noexcept nogil:
    cdef float single = <float>value
    cdef uint32_t bits
    memcpy(&bits, &single, sizeof(bits))
    return bits


cdef inline bint _is_nan(uint32_t bits) noexcept nogil:
    return (bits & 0x7FFFFFFF) > 0x7F800000


def pack(
    const uint32_t[:, ::1] features,
    uint32_t[::1] usual,
    const float[:, ::1] scores,
    const int64_t[::1] event_times,
    const double[::1] amounts,
    const double[::1] thresholds,
    list customers,
    list terminals,
    bytes begin,
    int64_t scored_at,
    uint32_t snapshot,
):
    """Pack records but for their reasons: stream.pipeline.pending_packing.pack_batch.

    Features are taken as their bits, as is what is usual, of which the first two are written over. What each
    record begins with, its layout and the name of its lineup, is `begin`.
    """
    cdef Py_ssize_t count = features.shape[0], width = features.shape[1], models = scores.shape[1]
    cdef Py_ssize_t n, place, begins = PyBytes_GET_SIZE(begin), marks = (width + 3) >> 2
    cdef Py_ssize_t head = begins + 36 + 4 * models + marks, customer_size, terminal_size, front, size
    if not (
        count == scores.shape[0] == event_times.shape[0] == amounts.shape[0] == thresholds.shape[0]
        and count == len(customers) == len(terminals)
        and width == usual.shape[0]
    ):
        raise ValueError("columns differ in length")
    cdef bint own_amount = width > 0 and _is_nan(usual[0]), own_hour = width > 1 and _is_nan(usual[1])
    # What a record begins with and its small features; its other features.
    cdef bytearray whole = bytearray(head + width), others = bytearray(4 * width)
    cdef uint8_t* start = <uint8_t*>PyByteArray_AS_STRING(whole)
    cdef uint8_t* rest = <uint8_t*>PyByteArray_AS_STRING(others)
    cdef uint8_t* kinds = start + head - marks
    cdef uint8_t* to
    cdef uint8_t* other
    cdef uint8_t* out
    cdef const char* customer
    cdef const char* terminal
    cdef uint16_t length
    cdef uint32_t bits
    cdef int64_t of_day
    cdef float value
    cdef uint8_t kind
    cdef bytes one
    cdef list packed = []
    memcpy(start, PyBytes_AS_STRING(begin), begins)
    for n in range(count):
        customer = PyUnicode_AsUTF8AndSize(customers[n], &customer_size)
        terminal = PyUnicode_AsUTF8AndSize(terminals[n], &terminal_size)
        if customer_size > MOST_OF_A_NAME or terminal_size > MOST_OF_A_NAME:
            raise OverflowError("the name of a customer or terminal is too long")
        to = _put(start + begins, &event_times[n], 6)
        to = _put(to, &scored_at, 6)
        to = _put(to, &snapshot, sizeof(snapshot))
        to = _put(to, &amounts[n], sizeof(double))
        to = _put(to, &thresholds[n], sizeof(double))
        length = <uint16_t>customer_size
        to = _put(to, &length, sizeof(length))
        length = <uint16_t>terminal_size
        to = _put(to, &length, sizeof(length))
        if models:
            to = _put(to, &scores[n, 0], sizeof(float) * models)
        if own_amount:
            usual[0] = _bits(amounts[n])
        if own_hour:
            of_day = event_times[n] % DAY_MS
            if of_day < 0:
                of_day += DAY_MS
            usual[1] = _bits(<double>of_day / <double>HOUR_MS)
        memset(kinds, 0, marks)
        to = start + head
        other = rest
        for place in range(width):
            bits = features[n, place]
            if bits == usual[place]:
                continue
            kind = ZERO
            if bits:
                memcpy(&value, &bits, sizeof(value))
                if value >= 1 and value <= 255 and value == rint(value):
                    kind = SMALL
                    to[0] = <uint8_t>value
                    to += 1
                else:
                    kind = FLOAT
                    other = _put(other, &bits, sizeof(bits))
            kinds[place >> 2] |= kind << 2 * (place & 3)
        front = to - start
        size = other - rest
        one = PyBytes_FromStringAndSize(NULL, front + size + customer_size + terminal_size)
        out = _put(<uint8_t*>PyBytes_AS_STRING(one), start, front)
        out = _put(out, rest, size)
        out = _put(out, customer, customer_size)
        _put(out, terminal, terminal_size)
        packed.append(one)
    return packed
