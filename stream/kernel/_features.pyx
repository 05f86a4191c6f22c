# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The arithmetic of features: the twins are in stream.features, which say what each number is."""

from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next
from cpython.long cimport PyLong_AsSsize_t, PyLong_FromSsize_t
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport INFINITY, rint, sqrt
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove, memset

cdef enum:
    HOURS = 24
    DAYS = 30
    RATIO_DAYS = 14
    HOUR_PARTS = 8
    WORD_BITS = 64
    CHANNEL_BITS = 16
    FEATURES = 18
    TERMINAL_FEATURES = 8
    RISK_DAYS = 30

cdef int64_t HOUR_MS = 3_600_000
cdef int64_t DAY_MS = 24 * 3_600_000
cdef int64_t PART_MS = DAY_MS // HOUR_PARTS
cdef double HIGH_RATIO = 2.5
cdef double CAP = 4.0
cdef int64_t MEMORY = 60
cdef double MAX_RATIO = 100.0
cdef double MAX_ZSCORE = 50.0
cdef double MAX_SINCE_HOURS = 720.0
cdef double MAX_SINCE_HIGH_DAYS = 30.0
cdef uint8_t MOST_OF_A_PART = 127
cdef int64_t MOST_OF_A_DAY = 10**17
cdef int64_t MOST_OF_A_COUNT = 65_535
cdef int64_t MOST_SEEN = 4_294_967_295
cdef double MAX_AGE_DAYS = 60.0

cdef packed struct State:
    int64_t day_sums[DAYS]
    double usual
    double spread
    int64_t last_event_time
    int64_t last_high
    uint64_t terminals[4]
    uint64_t countries
    uint64_t categories
    uint32_t max_ratios[RATIO_DAYS]
    uint32_t hour
    uint32_t seen
    uint16_t hour_counts[HOURS]
    uint16_t day_counts[DAYS]
    uint16_t high_counts[RATIO_DAYS]
    uint16_t channels
    uint8_t hour_parts[HOUR_PARTS]
    uint8_t unused[6]

cdef packed struct Risk:
    int64_t run_start
    int64_t last_fraud
    uint32_t day
    uint32_t run
    uint32_t last_ratio
    uint16_t frauds[RISK_DAYS]
    uint16_t labels[RISK_DAYS]
    uint16_t recent
    uint8_t unused[2]

STATE_BYTES = sizeof(State)
RISK_BYTES = sizeof(Risk)

cdef uint32_t[256] CRC


cdef void _fill_crc() noexcept:
    cdef uint32_t n, value
    cdef int bit
    for n in range(256):
        value = n
        for bit in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        CRC[n] = value


_fill_crc()


cdef uint32_t _crc32(str text) except? 0:
    cdef Py_ssize_t size, n
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    cdef uint32_t value = 0xFFFFFFFF
    for n in range(size):
        value = CRC[(value ^ <uint8_t>data[n]) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


cdef uint64_t _bit(object name, uint32_t bits) except? 0:
    if name is None:
        return 0
    return (<uint64_t>1) << (_crc32(<str>name) % bits)


cdef inline int64_t _floor(int64_t value, int64_t by) noexcept nogil:
    cdef int64_t quotient = value // by
    if quotient * by > value:
        quotient -= 1
    return quotient


cdef inline double _since(int64_t last, int64_t now, double unit, double most) noexcept nogil:
    cdef double since
    if last <= 0:
        return most
    if now <= last:
        return 0.0
    since = (now - last) / unit
    return since if since < most else most


cdef inline void _shift(void* buckets, size_t each, int64_t size, int64_t by) noexcept nogil:
    cdef size_t moved
    if by >= size:
        memset(buckets, 0, each * size)
        return
    moved = each * by
    memmove(<char*>buckets + moved, buckets, each * (size - by))
    memset(buckets, 0, moved)


cdef inline int64_t _median(const int64_t* sums, int64_t size) noexcept nogil:
    """Return the median of those of the sums that are positive, the upper one of two; 0 where none is."""
    cdef int64_t[DAYS] found
    cdef int64_t count = 0, n, m, value
    for n in range(size):
        value = sums[n]
        if value <= 0:
            continue
        m = count
        while m > 0 and found[m - 1] > value:
            found[m] = found[m - 1]
            m -= 1
        found[m] = value
        count += 1
    return found[count // 2] if count else 0


cdef void _observe(
    State* state,
    int64_t now,
    double amount,
    uint32_t terminal,
    uint64_t country,
    uint64_t category,
    uint64_t channel,
    double* row,
) noexcept nogil:
    cdef int64_t hour = _floor(now, HOUR_MS), day = _floor(now, DAY_MS)
    cdef int64_t hour_age = state.hour - hour, day_age = state.hour // HOURS - day
    cdef int64_t n, hours = 0, hours_2 = 0, counts = 0, counts_7 = 0, sums_7 = 0, highs = 0, parts = 0
    cdef int64_t usual_day, cents, part, seen
    cdef uint32_t largest = 0, thousandths
    cdef double usual = state.usual, ratio = 1.0, zscore = 0.0, deviation, most, step, distance, spend
    cdef uint64_t mask
    cdef bint high
    if hour_age < 0:
        _shift(state.hour_counts, sizeof(uint16_t), HOURS, -hour_age)
        if day_age < 0:
            _shift(state.day_counts, sizeof(uint16_t), DAYS, -day_age)
            _shift(state.day_sums, sizeof(int64_t), DAYS, -day_age)
            _shift(state.high_counts, sizeof(uint16_t), RATIO_DAYS, -day_age)
            _shift(state.max_ratios, sizeof(uint32_t), RATIO_DAYS, -day_age)
        state.hour = <uint32_t>hour
        hour_age = day_age = 0
    for n in range(hour_age, HOURS):
        hours += state.hour_counts[n]
        if n < hour_age + 2:
            hours_2 += state.hour_counts[n]
    for n in range(day_age, DAYS):
        counts += state.day_counts[n]
        if n < day_age + 7:
            counts_7 += state.day_counts[n]
            sums_7 += state.day_sums[n]
    for n in range(day_age, RATIO_DAYS):
        highs += state.high_counts[n]
        if state.max_ratios[n] > largest:
            largest = state.max_ratios[n]
    if usual > 0:
        ratio = amount / usual
        if ratio > MAX_RATIO:
            ratio = MAX_RATIO
        deviation = sqrt(state.spread)
        if 0.1 * usual > deviation:
            deviation = 0.1 * usual
        if 0.01 > deviation:
            deviation = 0.01
        zscore = (amount - usual) / deviation
        if zscore < -MAX_ZSCORE:
            zscore = -MAX_ZSCORE
        if zscore > MAX_ZSCORE:
            zscore = MAX_ZSCORE
    spend = 1.0
    if day_age < DAYS:
        usual_day = _median(state.day_sums + day_age + 1, DAYS - 1 - day_age)
        if usual_day:
            spend = (state.day_sums[day_age] + 100 * amount) / usual_day
            if spend > MAX_RATIO:
                spend = MAX_RATIO
    for n in range(HOUR_PARTS):
        parts += state.hour_parts[n]
    part = (now - day * DAY_MS) // PART_MS
    most = largest / 1000.0
    row[0] = hours_2
    row[1] = hours
    row[2] = counts_7
    row[3] = counts
    row[4] = <double>sums_7 / (100 * counts_7) if counts_7 else 0.0
    row[5] = spend
    row[6] = ratio
    row[7] = zscore
    row[8] = _since(state.last_event_time, now, HOUR_MS, MAX_SINCE_HOURS)
    row[9] = <double>(state.hour_parts[part] + 1) / (parts + HOUR_PARTS)
    row[10] = highs
    row[11] = most
    row[12] = 1.0
    if most > 0:
        row[12] = ratio / most
        if row[12] > MAX_RATIO:
            row[12] = MAX_RATIO
    row[13] = _since(state.last_high, now, DAY_MS, MAX_SINCE_HIGH_DAYS)
    mask = (<uint64_t>1) << (terminal & 63)
    n = terminal >> 6 & 3
    row[14] = (state.terminals[n] & mask) == 0
    state.terminals[n] |= mask
    row[15] = country != 0 and state.countries != 0 and (state.countries & country) == 0
    row[16] = category != 0 and state.categories != 0 and (state.categories & category) == 0
    row[17] = channel != 0 and state.channels != 0 and (state.channels & channel) == 0
    state.countries |= country
    state.categories |= category
    state.channels |= <uint16_t>channel

    high = ratio >= HIGH_RATIO
    if hour_age < HOURS and state.hour_counts[hour_age] < MOST_OF_A_COUNT:
        state.hour_counts[hour_age] += 1
    if day_age < DAYS:
        if state.day_counts[day_age] < MOST_OF_A_COUNT:
            state.day_counts[day_age] += 1
        cents = state.day_sums[day_age] + <int64_t>rint(amount * 100)
        state.day_sums[day_age] = cents if cents < MOST_OF_A_DAY else MOST_OF_A_DAY
    if day_age < RATIO_DAYS:
        thousandths = <uint32_t>rint(ratio * 1000)
        if thousandths > state.max_ratios[day_age]:
            state.max_ratios[day_age] = thousandths
        if high and state.high_counts[day_age] < MOST_OF_A_COUNT:
            state.high_counts[day_age] += 1
    if high and now > state.last_high:
        state.last_high = now
    if now > state.last_event_time:
        state.last_event_time = now
    state.hour_parts[part] += 1
    if state.hour_parts[part] > MOST_OF_A_PART:
        for n in range(HOUR_PARTS):
            state.hour_parts[n] >>= 1
    seen = <int64_t>state.seen + 1
    if seen > MOST_SEEN:
        seen = MOST_SEEN
    state.seen = <uint32_t>seen
    if amount <= 0:
        return
    if usual <= 0:
        state.usual = amount
        state.spread = amount / 2 * (amount / 2)
        return
    step = 1.0 / (seen if seen < MEMORY else MEMORY)
    distance = (amount if amount < CAP * usual else CAP * usual) - usual
    state.usual = usual + step * distance
    state.spread = state.spread + step * (distance * distance - state.spread)


def observe(
    uint8_t[:, ::1] rows,
    const int64_t[::1] places,
    const int64_t[::1] times,
    const double[::1] amounts,
    list terminals,
    list countries,
    list categories,
    list channels,
    double[:, ::1] described,
):
    """Describe transactions by their customers' pasts: stream.features.cohort.observe_all."""
    cdef Py_ssize_t n
    for n in range(places.shape[0]):
        _observe(
            <State*>&rows[places[n], 0],
            times[n],
            amounts[n],
            _crc32(<str>terminals[n]),
            _bit(countries[n], WORD_BITS),
            _bit(categories[n], WORD_BITS),
            _bit(channels[n], CHANNEL_BITS),
            &described[n, 0],
        )


cdef inline double _days(int64_t since, int64_t now) noexcept nogil:
    cdef double days
    if since <= 0:
        return MAX_AGE_DAYS
    days = (now - since) / <double>DAY_MS
    if days < 0.0:
        return 0.0
    return days if days < MAX_AGE_DAYS else MAX_AGE_DAYS


def describe_risks(
    const uint8_t[:, ::1] rows,
    const int64_t[::1] places,
    const int64_t[::1] times,
    const double[::1] shares,
    double[:, ::1] described,
):
    """Describe terminals at some moments: stream.features.risk.terminal_risks."""
    cdef Py_ssize_t n
    cdef int64_t m, age, now, day
    cdef int64_t frauds_7, frauds, labels
    cdef bint reported
    cdef const Risk* risk
    cdef double* row
    for n in range(places.shape[0]):
        risk = <const Risk*>&rows[places[n], 0]
        row = &described[n, 0]
        now = times[n]
        frauds_7 = frauds = labels = 0
        reported = False
        for m in range(RISK_DAYS):
            reported |= risk.frauds[m] != 0
        row[2] = 0.0
        if reported:
            age = risk.day - _floor(now, DAY_MS)
            for m in range(age if age > 0 else 0, RISK_DAYS):
                if m >= age + RISK_DAYS:
                    break
                frauds += risk.frauds[m]
                labels += risk.labels[m]
                if m < age + 7:
                    frauds_7 += risk.frauds[m]
            row[2] = frauds / (labels + 5.0)
        row[0] = frauds_7
        row[1] = frauds
        row[3] = shares[risk.recent]
        row[4] = risk.run
        row[5] = _days(risk.run_start, now) if risk.run > 0 else 0.0
        row[6] = _days(risk.last_fraud, now)
        row[7] = risk.last_ratio / 1000.0


def number(list names, int64_t[::1] of):
    """Number names as they first come: stream.pipeline.scoring.Known.nothing. Return the numbers by name."""
    cdef dict places = {}
    cdef PyObject* known
    cdef Py_ssize_t n
    cdef object name, place
    for n in range(len(names)):
        name = names[n]
        known = PyDict_GetItemWithError(places, name)
        if known == NULL:
            place = PyLong_FromSsize_t(len(places))
            places[name] = place
        else:
            place = <object>known
        of[n] = PyLong_AsSsize_t(place)
    return places


def find(dict places, list names, int64_t[::1] found):
    """Look up where each name lies; -1 where it does not: stream.roles.customer_cache."""
    cdef PyObject* known
    cdef Py_ssize_t n
    for n in range(len(names)):
        known = PyDict_GetItemWithError(places, names[n])
        found[n] = -1 if known == NULL else PyLong_AsSsize_t(<object>known)


def renew(dict places, list names, list free, int64_t[::1] taken):
    """Make names the newest, with a free place for each that is new: stream.roles.customer_cache."""
    cdef PyObject* known
    cdef Py_ssize_t n
    cdef object name, place
    for n in range(len(names)):
        name = names[n]
        known = PyDict_GetItemWithError(places, name)
        if known == NULL:
            place = free.pop()
        else:
            place = <object>known
            del places[name]
        places[name] = place
        taken[n] = PyLong_AsSsize_t(place)


def evict(dict places, Py_ssize_t count, list free):
    """Take out the oldest names, and free their places: stream.roles.customer_cache."""
    cdef Py_ssize_t at = 0
    cdef PyObject* name
    cdef PyObject* place
    cdef list oldest = []
    while len(oldest) < count and PyDict_Next(places, &at, &name, &place):
        oldest.append(<object>name)
        free.append(<object>place)
    for one in oldest:
        del places[one]


def states_are_whole(const uint8_t[:, ::1] rows):
    """Tell whether states can be: stream.features.customer.unpack_customers."""
    cdef Py_ssize_t n
    cdef int m
    cdef const State* state
    for n in range(rows.shape[0]):
        state = <const State*>&rows[n, 0]
        for m in range(DAYS):
            if not 0 <= state.day_sums[m] <= MOST_OF_A_DAY:
                return False
        # Of what is not a number, no comparison is true.
        if not (0 <= state.usual < INFINITY and 0 <= state.spread < INFINITY):
            return False
        if state.last_event_time < 0 or state.last_high < 0:
            return False
        for m in range(HOUR_PARTS):
            if state.hour_parts[m] > MOST_OF_A_PART:
                return False
        for m in range(RATIO_DAYS):
            if state.max_ratios[m] > 1000 * MAX_RATIO:
                return False
        for m in range(6):
            if state.unused[m]:
                return False
    return True


def risks_are_whole(const uint8_t[:, ::1] rows, uint32_t recents):
    """Tell whether risk records can be: stream.features.risk.unpack_risk_rows."""
    cdef Py_ssize_t n
    cdef const Risk* risk
    for n in range(rows.shape[0]):
        risk = <const Risk*>&rows[n, 0]
        if risk.run_start < 0 or risk.last_fraud < 0 or not 1 <= risk.recent < recents:
            return False
        if risk.unused[0] or risk.unused[1]:
            return False
    return True
