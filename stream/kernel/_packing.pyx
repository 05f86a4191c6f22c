# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rows without their zero bytes: the twin, and what the bytes mean, is in stream.features.packing."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset


def pack(const uint8_t[:, ::1] rows, const int32_t[::1] order, int layout, int head, int marks):
    """Pack rows: stream.features.packing.Packing.pack."""
    cdef Py_ssize_t n, count = rows.shape[0]
    cdef int width = <int>rows.shape[1], at, m
    cdef uint8_t[4096] whole
    cdef uint8_t value, mark
    cdef const uint8_t* row
    cdef uint8_t* end
    cdef list packed = []
    cdef uint8_t[512] marked
    if head + marks + width > 4096:
        raise ValueError("a row is too wide")
    for n in range(count):
        row = &rows[n, 0]
        memset(marked, 0, marks)
        memset(whole, 0, head)
        end = whole + head
        # The bytes that are there go behind where their marks may come to lie, and move up afterwards.
        end = whole + head + marks
        for at in range(width):
            value = row[order[at]]
            if value:
                marked[at >> 3] |= 128 >> (at & 7)
                end[0] = value
                end += 1
        packed.append(_closed(whole, marked, end, layout, head, marks))
    return packed


cdef bytes _closed(uint8_t* whole, const uint8_t* marked, const uint8_t* end, int layout, int head, int marks):
    """Put the marks before what is there."""
    cdef uint8_t* to = whole + head
    cdef const uint8_t* source = whole + head + marks
    cdef Py_ssize_t size
    cdef int m
    whole[0] = layout
    for m in range(marks):
        if marked[m]:
            whole[1 + (m >> 3)] |= 128 >> (m & 7)
            to[0] = marked[m]
            to += 1
    size = (to - whole) + (end - source)
    cdef bytes one = PyBytes_FromStringAndSize(NULL, size)
    cdef char* out = PyBytes_AS_STRING(one)
    cdef Py_ssize_t n, front = to - whole
    for n in range(front):
        out[n] = whole[n]
    for n in range(end - source):
        out[front + n] = source[n]
    return one


def unpack(list packed, const int32_t[::1] order, int layout, int head, int marks, uint8_t[:, ::1] rows):
    """Unpack rows: stream.features.packing.Packing.unpack. Return 0, or what is wrong with one.

    1: too short; 2: of another layout; 3: not whole; 4: a byte that is there is zero.
    """
    cdef Py_ssize_t n, size, at
    cdef int width = <int>rows.shape[1], m, bit
    cdef const uint8_t* one
    cdef uint8_t* row
    cdef uint8_t mark, value
    cdef Py_ssize_t mark_at
    for n in range(len(packed)):
        size = PyBytes_GET_SIZE(packed[n])
        if size < head:
            return 1
    for n in range(len(packed)):
        one = <const uint8_t*>PyBytes_AS_STRING(packed[n])
        if one[0] != layout:
            return 2
    for n in range(len(packed)):
        one = <const uint8_t*>PyBytes_AS_STRING(packed[n])
        size = PyBytes_GET_SIZE(packed[n])
        row = &rows[n, 0]
        memset(row, 0, width)
        # Where the rest begins is known once the marks are counted.
        mark_at = head
        at = head
        for m in range(8 * (head - 1)):
            if one[1 + (m >> 3)] & (128 >> (m & 7)):
                if m >= marks:
                    return 3
                at += 1
        if at > size:
            return 3
        for m in range(marks):
            if not one[1 + (m >> 3)] & (128 >> (m & 7)):
                continue
            mark = one[mark_at]
            mark_at += 1
            if mark == 0:
                return 4
            for bit in range(8):
                if not mark & (128 >> bit):
                    continue
                if 8 * m + bit >= width or at >= size:
                    return 3
                value = one[at]
                at += 1
                if value == 0:
                    return 4
                row[order[8 * m + bit]] = value
        if at != size:
            return 3
    return 0
