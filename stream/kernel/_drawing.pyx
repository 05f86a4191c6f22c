# cython: language_level=3
"""Records of what a client of Kafka has fetched: the twin is in stream.adapters.fetcher."""

from cpython.object cimport Py_EQ, PyObject_RichCompareBool
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM

cdef extern from "Python.h":
    object _new "PyType_GenericAlloc" (type kind, Py_ssize_t size)
    object PyObject_CallOneArg(object called, object argument)

cdef enum:
    FIELDS = 6


cdef inline void _fill(object record, Py_ssize_t field, object value):
    Py_INCREF(value)  # the tuple takes over a reference
    PyTuple_SET_ITEM(record, field, value)


def run(list messages, Py_ssize_t start, tuple methods, type kind):
    """Return the messages from a place on, of one partition and without an error, as named tuples of a kind.

    Of a message, the methods tell its error, topic, partition, offset, timestamp, key and value.
    """
    if not issubclass(kind, tuple) or len(kind._fields) != FIELDS:
        raise TypeError("records are named tuples of six fields")
    error_of, topic_of, partition_of, offset_of, timestamp_of, key_of, value_of = methods
    cdef Py_ssize_t n = start
    cdef list records = []
    cdef object message, topic = None, partition = None, offset, timestamp, key, value, record
    # Asked for again each time: what is called may be anything, and may do anything.
    while 0 <= n < len(messages):
        message = messages[n]
        if PyObject_CallOneArg(error_of, message) is not None:
            break
        if n == start:
            topic = PyObject_CallOneArg(topic_of, message)
            partition = PyObject_CallOneArg(partition_of, message)
        elif not (
            PyObject_RichCompareBool(PyObject_CallOneArg(partition_of, message), partition, Py_EQ)
            and PyObject_RichCompareBool(PyObject_CallOneArg(topic_of, message), topic, Py_EQ)
        ):
            break
        offset = PyObject_CallOneArg(offset_of, message)
        timestamp = PyObject_CallOneArg(timestamp_of, message)[1]
        key = PyObject_CallOneArg(key_of, message)
        value = PyObject_CallOneArg(value_of, message)
        # As tuple.__new__ does it; nothing can fail, nor look at it, before it is full.
        record = _new(kind, FIELDS)
        _fill(record, 0, topic)
        _fill(record, 1, partition)
        _fill(record, 2, offset)
        _fill(record, 3, timestamp)
        _fill(record, 4, key)
        _fill(record, 5, value)
        records.append(record)
        n += 1
    return records
