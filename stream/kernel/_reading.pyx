# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Transactions out of their JSON, those that are plainly fine: the twin, and all rules, are in stream.decoding.

Nothing is refused here. What is odd in any way, right or wrong, is left to the twin, so that what is read here
needs only be a part of what the twin would read, and the same.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, uint32_t most)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    list PyList_New(Py_ssize_t size)
    # Steals its reference: each call follows a Py_INCREF.
    void PyList_SET_ITEM(list some, Py_ssize_t place, object item)
    PyObject* PyTuple_GET_ITEM(object some, Py_ssize_t place)
    PyObject* PyList_GET_ITEM(list some, Py_ssize_t place)
    bint PyTuple_Check(object some)

# In the order in which stream.records.encode writes them.
cdef enum:
    TRANSACTION_ID
    EVENT_TIME
    CUSTOMER_ID
    TERMINAL_ID
    AMOUNT
    CURRENCY
    CHANNEL
    COUNTRY
    MERCHANT_CATEGORY
    SCHEMA_VERSION
    FIELDS
    UNKNOWN = FIELDS

cdef enum:
    KEY = 4
    VALUE = 5
    RECORD_PARTS = 6
    REQUIRED = 1 << TRANSACTION_ID | 1 << EVENT_TIME | 1 << CUSTOMER_ID | 1 << TERMINAL_ID | 1 << AMOUNT
    LONGEST_NAME = 64
    LONGEST_KIND = 32
    # Digits of a number: neither 10^18 nor anything below it overflows.
    MOST_DIGITS = 18
    SHORTEST_CARD = 13
    SHARED = 256

cdef uint64_t MOST_EXACT = 1 << 53
cdef double MOST_AMOUNT = 1e12

# With these and a number up to MOST_EXACT a division rounds once, to the double that is nearest.
cdef double[MOST_DIGITS + 1] POWERS
cdef const char* NAMES[FIELDS]
cdef Py_ssize_t[FIELDS] SIZES
# Bytes that stand for themselves within a string.
cdef uint8_t[256] PLAIN


cdef void _fill() noexcept:
    cdef int n
    cdef double power = 1.0
    for n in range(MOST_DIGITS + 1):
        POWERS[n] = power
        power *= 10.0
    for n in range(256):
        PLAIN[n] = 0x20 <= n < 0x80 and n != c'"' and n != c"\\"
    NAMES[TRANSACTION_ID] = b"transaction_id"
    NAMES[EVENT_TIME] = b"event_time"
    NAMES[CUSTOMER_ID] = b"customer_id"
    NAMES[TERMINAL_ID] = b"terminal_id"
    NAMES[AMOUNT] = b"amount"
    NAMES[CURRENCY] = b"currency"
    NAMES[CHANNEL] = b"channel"
    NAMES[COUNTRY] = b"country"
    NAMES[MERCHANT_CATEGORY] = b"merchant_category"
    NAMES[SCHEMA_VERSION] = b"schema_version"
    for n in range(FIELDS):
        SIZES[n] = len(NAMES[n])


_fill()

cdef struct Text:
    const uint8_t* start
    Py_ssize_t size

cdef struct Fields:
    # Of those that are strings; without a start where there is none.
    Text[FIELDS] texts
    int64_t event_time
    double amount


cdef inline const uint8_t* _after_blanks(const uint8_t* at, const uint8_t* end) noexcept nogil:
    while at < end and (at[0] == c" " or at[0] == c"\n" or at[0] == c"\r" or at[0] == c"\t"):
        at += 1
    return at


cdef inline const uint8_t* _after_text(const uint8_t* at, const uint8_t* end, Text* text) noexcept nogil:
    """Read a string from its first quotation mark on; NULL where there is none, or anything but plain ASCII."""
    if at >= end or at[0] != c'"':
        return NULL
    at += 1
    text.start = at
    while at < end and PLAIN[at[0]]:
        at += 1
    if at >= end or at[0] != c'"':
        return NULL
    text.size = at - text.start
    return at + 1


cdef inline const uint8_t* _after_word(
    const uint8_t* at, const uint8_t* end, const char* word, Py_ssize_t size
) noexcept nogil:
    return at + size if end - at >= size and memcmp(at, word, size) == 0 else NULL


cdef inline const uint8_t* _after_number(
    const uint8_t* at, const uint8_t* end, uint64_t* digits, int* decimals
) noexcept nogil:
    """Read a number that is not negative, without an exponent, as its digits; NULL where there is no such."""
    cdef const uint8_t* start = at
    cdef const uint8_t* point
    cdef uint64_t value = 0
    while at < end and c"0" <= at[0] <= c"9":
        if at - start == MOST_DIGITS:
            return NULL
        value = 10 * value + (at[0] - c"0")
        at += 1
    if at == start or (start[0] == c"0" and at - start > 1):
        return NULL
    decimals[0] = 0
    if at < end and at[0] == c".":
        point = at
        at += 1
        while at < end and c"0" <= at[0] <= c"9":
            if at - start > MOST_DIGITS:
                return NULL
            value = 10 * value + (at[0] - c"0")
            at += 1
        decimals[0] = <int>(at - point - 1)
        if decimals[0] == 0:
            return NULL
    digits[0] = value
    return at


cdef const uint8_t* _after_unknown(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Read over the value of an unknown field, where it is a simple one."""
    cdef Text text
    cdef uint64_t digits
    cdef int decimals
    if at >= end:
        return NULL
    if at[0] == c'"':
        return _after_text(at, end, &text)
    if at[0] == c"t":
        return _after_word(at, end, b"true", 4)
    if at[0] == c"f":
        return _after_word(at, end, b"false", 5)
    if at[0] == c"n":
        return _after_word(at, end, b"null", 4)
    return _after_number(at, end, &digits, &decimals)


cdef inline bint _is_code(const Text* text, Py_ssize_t size) noexcept nogil:
    """Tell whether it is as many capital letters."""
    cdef Py_ssize_t n
    if text.size != size:
        return False
    for n in range(size):
        if not c"A" <= text.start[n] <= c"Z":
            return False
    return True


cdef const uint8_t* _after_value(
    const uint8_t* at, const uint8_t* end, int field, Fields* fields
) noexcept nogil:
    """Read the value of a field; NULL where it is not plainly fine."""
    cdef Text* text = &fields.texts[field]
    cdef uint64_t digits
    cdef int decimals
    if field == TRANSACTION_ID or field == CUSTOMER_ID or field == TERMINAL_ID:
        at = _after_text(at, end, text)
        return at if at != NULL and 0 < text.size <= LONGEST_NAME else NULL
    if field == EVENT_TIME or field == AMOUNT or field == SCHEMA_VERSION:
        at = _after_number(at, end, &digits, &decimals)
        if at == NULL:
            return NULL
        if field == AMOUNT:
            if digits > MOST_EXACT:
                return NULL
            fields.amount = <double>digits / POWERS[decimals]
            return at if fields.amount <= MOST_AMOUNT else NULL
        if decimals:
            return NULL
        if field == EVENT_TIME:
            fields.event_time = <int64_t>digits
            return at
        return at if digits == 1 else NULL
    if at < end and at[0] == c"n":
        return _after_word(at, end, b"null", 4)
    at = _after_text(at, end, text)
    if at == NULL:
        return NULL
    if field == CURRENCY:
        return at if _is_code(text, 3) else NULL
    if field == COUNTRY:
        return at if _is_code(text, 2) else NULL
    return at if 0 < text.size <= LONGEST_KIND else NULL


cdef inline bint _is_named(const uint8_t* at, const uint8_t* end, int field) noexcept nogil:
    """Tell whether a field's name, without its first quotation mark, comes next."""
    cdef Py_ssize_t size = SIZES[field]
    return end - at > size and at[size] == c'"' and memcmp(at, NAMES[field], size) == 0


cdef bint _parse(const uint8_t* at, const uint8_t* end, Fields* fields) noexcept nogil:
    """Read an object; tell whether it is plainly fine."""
    cdef int field, expected = 0
    cdef uint32_t seen = 0
    cdef Text name
    for field in range(FIELDS):
        fields.texts[field].start = NULL
    at = _after_blanks(at, end)
    if at >= end or at[0] != c"{":
        return False
    at += 1
    while True:
        at = _after_blanks(at, end)
        if at >= end or at[0] != c'"':
            return False
        field = expected
        if field < FIELDS and _is_named(at + 1, end, field):
            at += SIZES[field] + 2
        else:
            field = 0
            while field < FIELDS and not _is_named(at + 1, end, field):
                field += 1
            at = _after_text(at, end, &name)
            if at == NULL:
                return False
        at = _after_blanks(at, end)
        if at >= end or at[0] != c":":
            return False
        at = _after_blanks(at + 1, end)
        if field == UNKNOWN:
            at = _after_unknown(at, end)
        else:
            if seen >> field & 1:
                return False
            seen |= <uint32_t>1 << field
            expected = field + 1
            at = _after_value(at, end, field, fields)
        if at == NULL:
            return False
        at = _after_blanks(at, end)
        if at >= end:
            return False
        if at[0] == c"}":
            break
        if at[0] != c",":
            return False
        at += 1
    return (seen & REQUIRED) == REQUIRED and _after_blanks(at + 1, end) == end


cdef bint _suspect(const Text* text) noexcept nogil:
    """Tell whether an identifier may hold a card number: stream.cards.suspicious."""
    cdef Py_ssize_t n, run = 0, before = 0, before_that = 0, first = 0
    cdef uint8_t one
    if text.size < SHORTEST_CARD:
        return False
    for n in range(text.size):
        one = text.start[n]
        if c"0" <= one <= c"9":
            run += 1
            if run > SHORTEST_CARD:
                return True
            if run == SHORTEST_CARD and text.start[n - SHORTEST_CARD + 1] == c"4":
                return True
            # Groups of digits that a single mark parts: 4-4-4-1, 4-6-4.
            if before == 4 and before_that == 4 and first >= 4:
                return True
            if run == 4 and before == 6 and before_that >= 4:
                return True
        elif one == c" " or one == c"." or one == c"_" or one == c"/" or one == c"-":
            first, before_that, before, run = before_that, before, run, 0
        else:
            first = before_that = before = run = 0
    return False


cdef inline object _str(const Text* text):
    cdef object made = PyUnicode_New(text.size, 127)
    memcpy(PyUnicode_DATA(made), text.start, text.size)
    return made


cdef inline void _put(list column, Py_ssize_t place, object item) noexcept:
    Py_INCREF(item)
    PyList_SET_ITEM(column, place, item)


cdef inline int _put_shared(list column, Py_ssize_t place, const Text* text, PyObject** shared) except -1:
    """Put a string that others are likely to equal: one that was made for such another, where it is at hand.

    `shared` borrows from the columns.
    """
    cdef uint32_t slot
    cdef object made
    if text.start == NULL:
        _put(column, place, None)
        return 0
    slot = text.start[0] + 5 * text.start[text.size >> 1] + 31 * text.start[text.size - 1]
    slot = (slot + <uint32_t>text.size) % SHARED
    if shared[slot] != NULL:
        made = <object>shared[slot]
        if PyUnicode_GET_LENGTH(made) == text.size and not memcmp(PyUnicode_DATA(made), text.start, text.size):
            _put(column, place, made)
            return 0
    made = _str(text)
    _put(column, place, made)
    shared[slot] = <PyObject*>made
    return 0


def read(
    list batch,
    int64_t earliest,
    int64_t latest,
    Py_ssize_t most_bytes,
    bint careful,
    int64_t[::1] event_times,
    double[::1] amounts,
):
    """Read a record batch of transactions: stream.decoding.decode_columns.

    Return the columns of strings, each with None where a record is left, and the places of those that are
    left. `careful`: leave those with an identifier that may be a card number.
    """
    cdef Py_ssize_t n, size, count = len(batch)
    cdef list names = PyList_New(count), customers = PyList_New(count), terminals = PyList_New(count)
    cdef list countries = PyList_New(count), categories = PyList_New(count), channels = PyList_New(count)
    cdef list left = []
    cdef PyObject* shared[SHARED]
    cdef object record, key, value
    cdef const uint8_t* start
    cdef const Text* customer
    cdef Fields fields
    if event_times.shape[0] != count or amounts.shape[0] != count:
        raise ValueError("a column is not as long as the batch")
    for n in range(SHARED):
        shared[n] = NULL
    for n in range(count):
        record = <object>PyList_GET_ITEM(batch, n)
        if PyTuple_Check(record) and PyTuple_GET_SIZE(record) == RECORD_PARTS:
            key, value = <object>PyTuple_GET_ITEM(record, KEY), <object>PyTuple_GET_ITEM(record, VALUE)
            if PyBytes_CheckExact(key) and PyBytes_CheckExact(value):
                start, size = <const uint8_t*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
                customer = &fields.texts[CUSTOMER_ID]
                if (
                    size <= most_bytes
                    and _parse(start, start + size, &fields)
                    and earliest <= fields.event_time <= latest
                    and PyBytes_GET_SIZE(key) == customer.size
                    and memcmp(PyBytes_AS_STRING(key), customer.start, customer.size) == 0
                    and not (
                        careful
                        and (
                            _suspect(&fields.texts[TRANSACTION_ID])
                            or _suspect(customer)
                            or _suspect(&fields.texts[TERMINAL_ID])
                        )
                    )
                ):
                    _put(names, n, _str(&fields.texts[TRANSACTION_ID]))
                    _put(customers, n, _str(customer))
                    _put(terminals, n, _str(&fields.texts[TERMINAL_ID]))
                    _put_shared(countries, n, &fields.texts[COUNTRY], shared)
                    _put_shared(categories, n, &fields.texts[MERCHANT_CATEGORY], shared)
                    _put_shared(channels, n, &fields.texts[CHANNEL], shared)
                    event_times[n] = fields.event_time
                    amounts[n] = fields.amount
                    continue
        left.append(n)
        for column in (names, customers, terminals, countries, categories, channels):
            _put(column, n, None)
    return names, customers, terminals, countries, categories, channels, left
