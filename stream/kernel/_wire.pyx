# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Arguments of Redis's commands: the twin, and what the bytes mean, is in stream.adapters.redis_wire."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_Check
from libc.string cimport memcpy

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object one, Py_ssize_t* size) except NULL


# Each function walks twice, to measure and to write: nothing in between runs what could change the sequence.

def plain(list values):
    """Pack arguments as they are: stream.adapters.redis_wire.plain."""
    cdef Py_ssize_t n, size = 0, of = 0, count = PyList_GET_SIZE(values)
    cdef const char* data
    for n in range(count):
        _see(<object>PyList_GET_ITEM(values, n), &of)
        size += _room(of)
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = PyBytes_AS_STRING(packed)
    for n in range(count):
        data = _see(<object>PyList_GET_ITEM(values, n), &of)
        to = _put(to, data, of)
    return packed


def prefixed(bytes prefix not None, list names):
    """Pack names behind a prefix that they share: stream.adapters.redis_wire.prefixed."""
    cdef Py_ssize_t n, size = 0, of = 0, front = PyBytes_GET_SIZE(prefix), count = PyList_GET_SIZE(names)
    cdef const char* begin = PyBytes_AS_STRING(prefix)
    cdef const char* data
    for n in range(count):
        _see(<object>PyList_GET_ITEM(names, n), &of)
        size += _room(front + of)
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = PyBytes_AS_STRING(packed)
    for n in range(count):
        data = _see(<object>PyList_GET_ITEM(names, n), &of)
        to = _announce(to, front + of)
        memcpy(to, begin, front)
        memcpy(to + front, data, of)
        to = _end(to + front + of)
    return packed


def pairs(dict values not None):
    """Pack names and values by turns: stream.adapters.redis_wire.pairs."""
    cdef Py_ssize_t at = 0, size = 0, of = 0
    cdef PyObject* name
    cdef PyObject* value
    cdef const char* data
    while PyDict_Next(values, &at, &name, &value):
        _see(<object>name, &of)
        size += _room(of)
        _see(<object>value, &of)
        size += _room(of)
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = PyBytes_AS_STRING(packed)
    at = 0
    while PyDict_Next(values, &at, &name, &value):
        data = _see(<object>name, &of)
        to = _put(to, data, of)
        data = _see(<object>value, &of)
        to = _put(to, data, of)
    return packed


cdef inline const char* _see(object one, Py_ssize_t* size) except NULL:
    """Return where the bytes of an argument lie, in UTF-8 if it is text."""
    if PyBytes_Check(one):
        size[0] = PyBytes_GET_SIZE(one)
        return PyBytes_AS_STRING(one)
    if PyUnicode_Check(one):
        return PyUnicode_AsUTF8AndSize(one, size)
    raise TypeError(f"neither bytes nor str: {type(one).__name__}")


cdef inline Py_ssize_t _room(Py_ssize_t size) noexcept:
    """Return how many bytes an argument of so many takes."""
    cdef Py_ssize_t room = size + 6, left = size
    while left >= 10:
        left //= 10
        room += 1
    return room


cdef inline char* _put(char* to, const char* data, Py_ssize_t size) noexcept:
    to = _announce(to, size)
    memcpy(to, data, size)
    return _end(to + size)


cdef inline char* _announce(char* to, Py_ssize_t size) noexcept:
    cdef char[20] digits
    cdef int count = 0
    to[0] = b"$"
    to += 1
    while True:
        digits[count] = <char>(48 + size % 10)
        count += 1
        size //= 10
        if size == 0:
            break
    while count:
        count -= 1
        to[0] = digits[count]
        to += 1
    return _end(to)


cdef inline char* _end(char* to) noexcept:
    to[0] = b"\r"
    to[1] = b"\n"
    return to + 2
