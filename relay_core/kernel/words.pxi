# Many bytes of text at a time: the ends of cells, short numbers, dates, hashes.
#
# A word is eight bytes, the first of which is its lowest byte.

cdef extern from *:
    """
    static const int64_t relay_powers_of_ten[] = {1, 10, 100, 1000, 10000};

    static inline int relay_lowest_bit(uint64_t word) {
    #if defined(__GNUC__)
        return __builtin_ctzll(word);
    #else
        int bit = 0;
        while (!(word >> bit & 1)) bit++;
        return bit;
    #endif
    }
    """
    const int64_t relay_powers_of_ten[5]
    int relay_lowest_bit(uint64_t word) noexcept nogil

cdef enum:
    _BLOCK_BYTES = 64
    _WORD_BYTES = 8


cdef inline uint64_t _word(const uint8_t *at) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, at, _WORD_BYTES)
    return word


cdef inline uint64_t _stops(
    const uint8_t *block, uint8_t delimiter, uint8_t quote
) noexcept nogil:
    """Return which bytes of a block are delimiters, line ends or quotes, a bit each."""
    cdef uint8_t is_stop[_BLOCK_BYTES]
    cdef uint64_t stops = 0, bits
    cdef int index
    for index in range(_BLOCK_BYTES):  # compilers make vectors of this loop
        is_stop[index] = (
            (block[index] == delimiter)
            | (block[index] == quote)
            | (block[index] == _LF)
            | (block[index] == _CR)
        )
    for index in range(_BLOCK_BYTES // _WORD_BYTES):
        # The product has the lowest bit of each byte in its highest byte.
        bits = _word(&is_stop[_WORD_BYTES * index]) * <uint64_t>0x0102040810204080
        stops |= (bits >> 56) << (_WORD_BYTES * index)
    return stops


cdef inline int64_t _short_number(
    const uint8_t *end, Py_ssize_t length, int places, uint8_t decimal
) noexcept nogil:
    """Return a number of digits and one decimal mark, times ten to the power of its places.

    Args:
        end: The end of the number; eight bytes before it can be read.
        length: The number of bytes: at least 1, and at most 8.
        places: The most digits behind the mark; 0 if a mark is not allowed.
        decimal: The mark.

    Returns:
        The number, or `_DOUBT` if the bytes have another form.
    """
    cdef int before = 8 * (_WORD_BYTES - <int>length)  # the bits of bytes before it
    cdef uint64_t word = (_word(end - _WORD_BYTES) >> before) << before
    cdef uint64_t marks, differences
    cdef int mark
    if places:
        differences = word ^ (decimal * <uint64_t>0x0101010101010101)
        marks = (differences & <uint64_t>0x7F7F7F7F7F7F7F7F) + <uint64_t>0x7F7F7F7F7F7F7F7F
        # The highest bit of each byte that is a mark, and no other bit
        marks = ~(marks | differences | <uint64_t>0x7F7F7F7F7F7F7F7F)
        if marks:
            mark = relay_lowest_bit(marks) - 7
            places -= 7 - mark // 8
            if mark == before or mark == 56 or places < 0:
                return _DOUBT
            # The digits before the mark move to its place.
            word = (word >> mark >> 8 << mark << 8) | (word & _low_bits(mark)) << 8
            before += 8
    word |= <uint64_t>0x3030303030303030 & _low_bits(before)  # zeros in front
    differences = word ^ <uint64_t>0x3030303030303030
    marks = differences + <uint64_t>0x7676767676767676
    if (marks | differences) & <uint64_t>0x8080808080808080:
        return _DOUBT  # a byte is no digit
    # Two digits, then four, then eight become a number.
    word = (differences * 10 + (differences >> 8)) & <uint64_t>0x00FF00FF00FF00FF
    word = (word * 100 + (word >> 16)) & <uint64_t>0x0000FFFF0000FFFF
    word = (word * 10000 + (word >> 32)) & <uint64_t>0xFFFFFFFF
    return <int64_t>word * relay_powers_of_ten[places]


cdef inline uint64_t _low_bits(int count) noexcept nogil:
    """Return a word whose lowest bits are set; the count is less than 64."""
    return (<uint64_t>1 << count) - 1


cdef inline uint64_t _hash(const uint8_t *text, Py_ssize_t length) noexcept nogil:
    cdef uint64_t value = 0x9E3779B97F4A7C15ULL + length
    cdef uint32_t first, last
    cdef Py_ssize_t index = 0
    if length < 4:
        for index in range(length):
            value = value << 8 ^ text[index]
        return _mixed(value)
    if length < _WORD_BYTES:
        memcpy(&first, text, 4)
        memcpy(&last, text + length - 4, 4)
        return _mixed(value ^ (<uint64_t>first << 32 | last))
    while index < length - _WORD_BYTES:
        value = _mixed(value ^ _word(text + index))
        index += _WORD_BYTES
    return _mixed(value ^ _word(text + length - _WORD_BYTES))


cdef inline uint64_t _mixed(uint64_t value) noexcept nogil:
    """Return a number whose bits each depend on many bits of another number."""
    value *= 0xD6E8FEB86659FD93ULL
    return value ^ value >> 32


# --- dates ---


cdef inline int64_t _seconds_of_clock(uint64_t word) noexcept nogil:
    """Return the second of the day of ``hh:mm:ss``, or -1."""
    cdef uint64_t digits = word ^ <uint64_t>0x30303A30303A3030
    cdef uint64_t excess = digits + <uint64_t>0x76767F76767F7676
    cdef int hour, minute, second
    if (digits | excess) & <uint64_t>0x8080808080808080:
        return -1  # a digit is above 9, or a mark is not a colon
    digits = digits * 10 + (digits >> 8)
    hour = digits & 0xFF
    minute = digits >> 24 & 0xFF
    second = digits >> 48 & 0xFF
    if hour > 23 or minute > 59 or second > 59:
        return -1
    return hour * 3600 + minute * 60 + second


cdef inline int64_t _day_of_date(const uint8_t *text) noexcept nogil:
    """Return the days from 1970-01-01 to ``YYYY-MM-DD``, or `_NO_INSTANT`."""
    cdef uint64_t digits = _word(text) ^ <uint64_t>0x2D30302D30303030
    cdef uint64_t excess = digits + <uint64_t>0x7F76767F76767676
    cdef uint8_t tens = text[8] - 48
    cdef uint8_t ones = text[9] - 48
    cdef int year, month, day = 10 * tens + ones
    if (digits | excess) & <uint64_t>0x8080808080808080 or tens > 9 or ones > 9:
        return _NO_INSTANT
    digits = digits * 10 + (digits >> 8)
    year = <int>(digits & 0xFF) * 100 + <int>(digits >> 16 & 0xFF)
    month = digits >> 40 & 0xFF
    if year < _FIRST_YEAR or year >= _END_YEAR or month < 1 or month > 12:
        return _NO_INSTANT
    if day < 1 or day > _month_days(year, month):
        return _NO_INSTANT
    return _days(year, month, day)


cdef inline int _month_days(int year, int month) noexcept nogil:
    if month == 2:
        if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
            return 29
        return 28
    if month == 4 or month == 6 or month == 9 or month == 11:
        return 30
    return 31


cdef inline int64_t _days(int year, int month, int day) noexcept nogil:
    """Return the days since 1970-01-01, by years that begin in March."""
    cdef int64_t shifted = year - (month <= 2)
    cdef int64_t era = shifted / 400
    cdef int64_t year_of_era = shifted - era * 400
    cdef int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    cdef int64_t day_of_era = (
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
    )
    return era * 146097 + day_of_era - 719468
