# Packed rows: their format, and columns and lines made of rows in any order.
#
# A row is its head, the length of each text, and the texts: SKU, vendor SKU, brand, title,
# and the tenant's extra columns. The head is a byte of flags (an amount is there, for each
# of the four; the code of the condition), the instant, the quantity, the lead time, and six
# bytes for each amount that is there. A length is one byte; 255 stands for a length of four
# bytes, which follow the lengths of all texts, in order. A null number is -1, and a null
# text is empty.
#
# A row is checked once against its buffer, which has room for another head behind it.
# Whatever is written is checked once a row too.

cdef enum:
    _AMOUNTS = 4
    _AMOUNT_BYTES = 6
    _LONG = 255
    _CONDITION_SHIFT = 4
    _OFFSET_BITS = 40
    _ROWS_AHEAD = 12
    _LINE_ROOM = 192
    _DIGITS = 20  # those of the longest number
    _LAST_SPECIAL = 44  # a comma: no byte that needs quotes is greater

cdef uint64_t _ABOVE_SPECIAL = 0x2D2D2D2D2D2D2D2D
cdef uint64_t _HIGHEST_BITS = 0x8080808080808080
cdef uint64_t _OFFSET_MASK = (<uint64_t>1 << _OFFSET_BITS) - 1


cdef inline Py_ssize_t _head_room(Py_ssize_t text_count) noexcept nogil:
    """Return the most bytes that a row has before its texts."""
    return 1 + 8 + 4 + 4 + _AMOUNTS * _AMOUNT_BYTES + 5 * text_count


cdef inline uint8_t *_write_head(uint8_t *out, const _Head *head) noexcept nogil:
    """Write a head, for which there is room; return where the lengths are."""
    cdef uint8_t flags = <uint8_t>(head.condition << _CONDITION_SHIFT)
    cdef int32_t number
    cdef int index
    cdef uint8_t *at = out + 1
    memcpy(at, &head.instant, 8)
    number = <int32_t>head.quantity
    memcpy(at + 8, &number, 4)
    number = <int32_t>head.lead_time
    memcpy(at + 12, &number, 4)
    at += 16
    for index in range(_AMOUNTS):
        if head.amounts[index] != _NULL:
            flags |= 1 << index
            memcpy(at, &head.amounts[index], _AMOUNT_BYTES)
            at += _AMOUNT_BYTES
    out[0] = flags
    return at


cdef inline uint8_t *_write_length(
    uint8_t *length_at, uint8_t *at, Py_ssize_t length
) noexcept nogil:
    """Write a length; return the end of the lengths of four bytes."""
    cdef uint32_t long_length
    if length < _LONG:
        length_at[0] = <uint8_t>length
        return at
    length_at[0] = _LONG
    long_length = <uint32_t>length
    memcpy(at, &long_length, 4)
    return at + 4


cdef inline const uint8_t *_read_head(
    const uint8_t *row, _Head *head
) noexcept nogil:
    """Read a head; return where the lengths are."""
    cdef uint8_t flags = row[0]
    cdef int32_t number
    cdef int index
    cdef const uint8_t *at = row + 17
    memcpy(&head.instant, row + 1, 8)
    memcpy(&number, row + 9, 4)
    head.quantity = number
    memcpy(&number, row + 13, 4)
    head.lead_time = number
    head.condition = flags >> _CONDITION_SHIFT
    for index in range(_AMOUNTS):
        head.amounts[index] = _NULL
        if flags & (1 << index):
            head.amounts[index] = 0
            memcpy(&head.amounts[index], at, _AMOUNT_BYTES)
            at += _AMOUNT_BYTES
    return at


cdef inline Py_ssize_t _read_length(
    const uint8_t *length_at, const uint8_t **long_lengths
) noexcept nogil:
    cdef uint32_t length
    if length_at[0] != _LONG:
        return length_at[0]
    memcpy(&length, long_lengths[0], 4)
    long_lengths[0] += 4
    return length


cdef class RowReader:
    """Reads packed rows in any order.

    Args of the constructor: buffers of rows, and the number of a row's texts. The place of
    a row is the index of its buffer times ``1 << 40``, plus its offset in the buffer.
    """

    cdef list buffers
    cdef uint64_t[::1] addresses
    cdef int64_t[::1] sizes
    cdef Py_ssize_t text_count

    def __init__(self, buffers, text_count):
        cdef const uint8_t[::1] view
        cdef Py_ssize_t index
        self.buffers = list(buffers)  # they stay in memory as long as this object
        self.addresses = np.zeros(len(buffers), np.uint64)
        self.sizes = np.zeros(len(buffers), np.int64)
        for index in range(len(buffers)):
            view = self.buffers[index]
            self.sizes[index] = view.shape[0]
            if view.shape[0]:
                self.addresses[index] = <uint64_t>&view[0]
        self.text_count = text_count

    cdef inline int fetch(
        self, const int64_t[::1] places, Py_ssize_t index
    ) except -3 nogil:
        """Ask for the memory of a row that is read some rows later."""
        cdef uint64_t place
        cdef const uint8_t *row
        if index + _ROWS_AHEAD < places.shape[0]:
            place = places[index + _ROWS_AHEAD]
            row = <const uint8_t *>(
                self.addresses[place >> _OFFSET_BITS] + (place & _OFFSET_MASK)
            )
            relay_prefetch(row)
            relay_prefetch(row + 64)
        return 0

    cdef inline const uint8_t *head(
        self, uint64_t place, _Head *head, const uint8_t **texts, Py_ssize_t *left
    ) except NULL nogil:
        """Read the head of the row at a place.

        Return where its lengths are, set where its long lengths or texts start, and the
        number of bytes from there to the end of the buffer.
        """
        cdef Py_ssize_t offset = place & _OFFSET_MASK
        cdef Py_ssize_t size = self.sizes[place >> _OFFSET_BITS]
        cdef const uint8_t *start
        cdef const uint8_t *lengths
        if offset + _head_room(self.text_count) > size:
            with gil:
                raise IndexError("a row is not in its buffer")
        start = <const uint8_t *>(self.addresses[place >> _OFFSET_BITS] + offset)
        lengths = _read_head(start, head)
        texts[0] = lengths + self.text_count
        left[0] = size - offset - (texts[0] - start)
        return lengths

    cdef inline Py_ssize_t skip_long(
        self, const uint8_t *lengths, const uint8_t **texts, Py_ssize_t *left
    ) noexcept nogil:
        """Move to the texts; return the number of bytes of all texts."""
        cdef const uint8_t *long_lengths = texts[0]
        cdef const uint8_t *start = texts[0]
        cdef Py_ssize_t place, total = 0
        for place in range(self.text_count):
            total += _read_length(lengths + place, &long_lengths)
        texts[0] = long_lengths
        left[0] -= long_lengths - start
        return total

    def gather(
        self,
        const int64_t[::1] rows,
        const int32_t[::1] fields,
        int64_t[:, ::1] values,
        const int32_t[::1] places,
        int64_t[:, ::1] bounds,
    ):
        """Read some numbers and the lengths of some texts of rows.

        Args:
            rows: The places of the rows.
            fields: The indices of numbers in `NUMBERS`.
            values: Gets the numbers, one row a field.
            places: The indices of texts.
            bounds: Gets the offsets of texts that are put one after another, one row a
                text.
        """
        cdef Py_ssize_t index, field, place, left
        cdef int kind
        cdef int64_t length
        cdef int64_t numbers[8]
        cdef const uint8_t *lengths
        cdef const uint8_t *texts
        cdef _Head head
        for place in range(places.shape[0]):
            bounds[place, 0] = 0
        with nogil:
            for index in range(rows.shape[0]):
                self.fetch(rows, index)
                lengths = self.head(rows[index], &head, &texts, &left)
                numbers[0] = head.quantity
                numbers[1] = head.lead_time
                for field in range(_AMOUNTS):
                    numbers[2 + field] = head.amounts[field]
                numbers[6] = head.instant
                numbers[7] = head.condition
                for field in range(fields.shape[0]):
                    kind = fields[field]
                    if kind < 0 or kind > 7:
                        raise IndexError("no such number")
                    values[field, index] = numbers[kind]
                for place in range(places.shape[0]):
                    length = self.length_of(lengths, texts, places[place])
                    bounds[place, index + 1] = bounds[place, index] + length

    cdef inline int64_t length_of(
        self, const uint8_t *lengths, const uint8_t *long_lengths, Py_ssize_t place
    ) except -3 nogil:
        """Return the length of one text."""
        cdef Py_ssize_t other
        if place < 0 or place >= self.text_count:
            raise IndexError("no such text")
        if lengths[place] != _LONG:
            return lengths[place]
        for other in range(place):
            _read_length(lengths + other, &long_lengths)
        return _read_length(lengths + place, &long_lengths)

    def gather_texts(
        self,
        const int64_t[::1] rows,
        const int32_t[::1] places,
        const int64_t[:, ::1] bounds,
        const int64_t[::1] starts,
        uint8_t[::1] data,
    ):
        """Read some texts of rows.

        Args:
            rows: The places of the rows.
            places: The indices of texts, ascending.
            bounds: The offsets of each text's bytes, as `gather` has written them.
            starts: Where the bytes of each text start in ``data``.
            data: Gets the bytes.
        """
        cdef Py_ssize_t index, place, text, left, length, used
        cdef const uint8_t *lengths
        cdef const uint8_t *long_lengths
        cdef const uint8_t *texts
        cdef _Head head
        if not places.shape[0]:
            return
        with nogil:
            for index in range(rows.shape[0]):
                self.fetch(rows, index)
                lengths = self.head(rows[index], &head, &texts, &left)
                long_lengths = texts
                if self.skip_long(lengths, &texts, &left) > left:
                    raise IndexError("a text is not in its buffer")
                text = 0
                for place in range(self.text_count):
                    length = _read_length(lengths + place, &long_lengths)
                    if places[text] == place:
                        used = starts[text] + bounds[text, index]
                        if used < 0 or used + length > data.shape[0]:
                            raise IndexError("there is no room for a text")
                        if length:
                            memcpy(&data[used], texts, length)
                        text += 1
                        if text == places.shape[0]:
                            break
                    texts += length

    def replace_texts(
        self,
        const int64_t[::1] rows,
        const int32_t[::1] columns,
        const int64_t[:, ::1] starts,
        const int64_t[:, ::1] lengths,
        const uint8_t[::1] data,
        uint8_t[::1] out,
        int64_t[::1] offsets,
    ):
        """Pack rows again, with other texts in some places; return the number of bytes.

        Args:
            rows: The places of the rows.
            columns: The row of ``starts`` and ``lengths`` that has a text, one a text
                of a row; -1 for a text that stays.
            starts: Where the texts start in ``data``, one row a replaced text.
            lengths: The lengths of the texts, one row a replaced text; -1 for a text
                that stays.
            data: The bytes of all texts.
            out: Gets the rows. A head must fit behind them.
            offsets: Gets the offset of each row.
        """
        cdef Py_ssize_t index, place, left, length, first, column, total, used = 0
        cdef const uint8_t *old_lengths
        cdef const uint8_t *long_lengths
        cdef const uint8_t *texts
        cdef uint8_t *new_lengths
        cdef uint8_t *at
        cdef _Head head
        if (
            columns.shape[0] != self.text_count
            or offsets.shape[0] < rows.shape[0]
            or starts.shape[1] < rows.shape[0]
            or lengths.shape[1] < rows.shape[0]
        ):
            raise IndexError("the arrays have other sizes than the rows")
        with nogil:
            for index in range(rows.shape[0]):
                self.fetch(rows, index)
                old_lengths = self.head(rows[index], &head, &texts, &left)
                long_lengths = texts
                total = self.skip_long(old_lengths, &texts, &left)
                if total > left:
                    raise IndexError("a text is not in its buffer")
                for column in range(starts.shape[0]):
                    length = lengths[column, index]
                    if length < 0:
                        continue
                    first = starts[column, index]
                    if first < 0 or first + length > data.shape[0]:
                        raise IndexError("a text is not in its buffer")
                    total += length
                if used + total + 2 * _head_room(self.text_count) > out.shape[0]:
                    raise IndexError("there is no room for a row")
                new_lengths = _write_head(&out[used], &head)
                at = new_lengths + self.text_count
                left = long_lengths - old_lengths  # the lengths are read twice
                for place in range(self.text_count):
                    length = _read_length(old_lengths + place, &long_lengths)
                    column = columns[place]
                    if column >= 0 and lengths[column, index] >= 0:
                        length = lengths[column, index]
                    at = _write_length(new_lengths + place, at, length)
                long_lengths = old_lengths + left
                for place in range(self.text_count):
                    length = _read_length(old_lengths + place, &long_lengths)
                    column = columns[place]
                    if column >= 0 and lengths[column, index] >= 0:
                        total = lengths[column, index]
                        if total:
                            memcpy(at, &data[starts[column, index]], total)
                            at += total
                    elif length:
                        memcpy(at, texts, length)
                        at += length
                    texts += length
                offsets[index] = used
                used = at - &out[0]
        return used

    def write_lines(
        self, const int64_t[::1] rows, const uint8_t[::1] vendor_id, uint8_t[::1] out
    ):
        """Write the lines of normalized.csv of as many rows as there is room for.

        ``rows`` are their places. Return the number of lines and of bytes.
        """
        cdef Py_ssize_t index, place, left, length, total, written = 0
        cdef Py_ssize_t vendor_bytes = vendor_id.shape[0]
        cdef const uint8_t *lengths
        cdef const uint8_t *long_lengths
        cdef const uint8_t *texts
        cdef uint8_t *start
        cdef uint8_t *at
        cdef uint8_t *end
        cdef int amount
        cdef _Head head
        if not out.shape[0] or not vendor_bytes:
            return 0, 0
        start = &out[0]
        at = start
        end = start + out.shape[0]
        with nogil:
            for index in range(rows.shape[0]):
                self.fetch(rows, index)
                lengths = self.head(rows[index], &head, &texts, &left)
                long_lengths = texts
                total = self.skip_long(lengths, &texts, &left)
                if total > left:
                    raise IndexError("a text is not in its buffer")
                if end - at < _LINE_ROOM + vendor_bytes + 2 * total + 3 * self.text_count:
                    break
                for place in range(self.text_count):
                    if place == 2:
                        memcpy(at, &vendor_id[0], vendor_bytes)
                        at = _whole(_comma(at + vendor_bytes), head.quantity)
                        at = _comma(at)
                        if head.lead_time != _NULL:
                            at = _whole(at, head.lead_time)
                        for amount in range(_AMOUNTS):
                            at = _comma(at)
                            if head.amounts[amount] != _NULL:
                                at = _money(at, head.amounts[amount])
                        at = _comma(_condition_word(_comma(at), head.condition))
                    elif place == 4:
                        at = _comma(_timestamp(at, head.instant))
                    length = _read_length(lengths + place, &long_lengths)
                    at = _comma(_quoted(at, texts, length, 44))
                    texts += length
                if self.text_count == 4:
                    at = _comma(_timestamp(at, head.instant))
                at[-1] = _LF
                written += 1
        return written, at - start


# --- what is written: there is room for it -------------------------------------------


cdef inline uint8_t *_quoted(
    uint8_t *at, const uint8_t *text, Py_ssize_t length, uint8_t delimiter
) noexcept nogil:
    """Write a text, in quotes if it needs them; return the position behind it."""
    cdef Py_ssize_t index
    cdef bint needs_quotes = False
    cdef uint8_t byte
    if delimiter <= _LAST_SPECIAL and _copy_plain(at, text, length):
        return at + length
    for index in range(length):
        byte = text[index]
        needs_quotes |= (
            (byte == delimiter) | (byte == _QUOTE) | (byte == _LF) | (byte == _CR)
        )
    if not needs_quotes:
        if length:
            memcpy(at, text, length)
        return at + length
    at[0] = _QUOTE
    at += 1
    for index in range(length):
        if text[index] == _QUOTE:
            at[0] = _QUOTE
            at += 1
        at[0] = text[index]
        at += 1
    at[0] = _QUOTE
    return at + 1


cdef inline bint _copy_plain(
    uint8_t *at, const uint8_t *text, Py_ssize_t length
) noexcept nogil:
    """Copy a text; return whether none of its bytes is up to `_LAST_SPECIAL`."""
    cdef uint64_t word, special = 0
    cdef Py_ssize_t index = 0
    if length < 8:
        for index in range(length):
            special |= text[index] <= _LAST_SPECIAL
            at[index] = text[index]
        return not special
    while index + 8 <= length:
        memcpy(&word, text + index, 8)
        memcpy(at + index, &word, 8)
        # Subtraction borrows the highest bit of the bytes that are less.
        special |= (word - _ABOVE_SPECIAL) & ~word
        index += 8
    memcpy(&word, text + length - 8, 8)
    memcpy(at + length - 8, &word, 8)
    special |= (word - _ABOVE_SPECIAL) & ~word
    return not special & _HIGHEST_BITS


cdef inline uint8_t *_comma(uint8_t *at) noexcept nogil:
    at[0] = 44
    return at + 1


cdef inline uint8_t *_whole(uint8_t *at, uint64_t value) noexcept nogil:
    """Write a number; as many bytes as the longest one has may change."""
    cdef uint8_t digits[2 * _DIGITS]
    cdef int first = _DIGITS
    while value >= 100:
        first -= 2
        _two(digits + first, value)
        value = value / 100
    first -= 2
    _two(digits + first, value)
    first += value < 10
    memcpy(at, digits + first, _DIGITS)
    return at + _DIGITS - first


cdef inline uint8_t *_two(uint8_t *at, uint64_t value) noexcept nogil:
    """Write the last two digits of a number."""
    memcpy(at, &relay_digit_pairs[2 * (value % 100)], 2)
    return at + 2


cdef inline uint8_t *_money(uint8_t *at, uint64_t amount) noexcept nogil:
    """Write two decimal places, or up to four where those are not zero."""
    cdef uint64_t fraction = amount % 10000
    at = _whole(at, amount / 10000)
    at[0] = 46
    at = _two(at + 1, fraction / 100)
    fraction %= 100
    if fraction:
        at = _two(at, fraction)
        if fraction % 10 == 0:
            at -= 1
    return at


cdef inline uint8_t *_condition_word(uint8_t *at, int64_t code) noexcept nogil:
    if code == 1:
        memcpy(at, b"new", 3)
        return at + 3
    if code == 2:
        memcpy(at, b"used", 4)
        return at + 4
    if code == 3:
        memcpy(at, b"refurb", 6)
        return at + 6
    return at


cdef inline uint8_t *_timestamp(uint8_t *at, int64_t microseconds) noexcept nogil:
    """Write an instant as ``YYYY-MM-DDTHH:MM:SSZ``, without its fraction.

    The date is computed as Neri and Schneider do, "Euclidean affine functions and their
    application to calendar algorithms". The years of rows are long after the year 0.
    """
    cdef int64_t seconds = microseconds / 1000000
    cdef int64_t days
    cdef uint32_t fourths, century, year, day_of_year, month, second, is_next
    cdef uint64_t product
    if microseconds % 1000000 < 0:
        seconds -= 1
    days = seconds / _DAY
    if seconds % _DAY < 0:
        days -= 1
    second = <uint32_t>(seconds - days * _DAY)
    fourths = <uint32_t>(4 * (days + 719468) + 3)
    century = fourths / 146097
    product = <uint64_t>2939745 * (fourths % 146097 | 3)
    year = 100 * century + <uint32_t>(product >> 32)
    day_of_year = <uint32_t>product / 2939745 / 4
    month = 2141 * day_of_year + 197913
    is_next = day_of_year >= 306  # January and February are months of the next year
    year += is_next
    at = _two(_two(at, year / 100), year)
    at[0] = 45
    at = _two(at + 1, (month >> 16) - 12 * is_next)
    at[0] = 45
    at = _two(at + 1, (month & 0xFFFF) / 2141 + 1)
    at[0] = 84
    at = _two(at + 1, second / 3600)
    at[0] = 58
    at = _two(at + 1, second / 60 % 60)
    at[0] = 58
    at = _two(at + 1, second % 60)
    at[0] = 90
    return at + 1


# --- rows and records that another reader reads ---------------------------------------


def pack_rows(
    const int64_t[:, ::1] numbers,
    const int64_t[:, ::1] text_starts,
    const int64_t[:, ::1] text_lengths,
    const uint8_t[::1] data,
    uint8_t[::1] rows,
    int64_t[::1] offsets,
):
    """Pack rows that another reader has read; return the number of bytes.

    Args:
        numbers: The numbers, one row for each of `NUMBERS`; a null is -1.
        text_starts: Where the texts start in ``data``, one row a text.
        text_lengths: The lengths of the texts, one row a text.
        data: The bytes of all texts.
        rows: Gets the rows. A head must fit behind them.
        offsets: Gets the offset of each row.
    """
    cdef Py_ssize_t row, place, start, length, need, used = 0
    cdef Py_ssize_t text_count = text_starts.shape[0]
    cdef uint8_t *lengths
    cdef uint8_t *at
    cdef _Head head
    cdef int index
    with nogil:
        for row in range(offsets.shape[0]):
            head.quantity = numbers[0, row]
            head.lead_time = numbers[1, row]
            for index in range(_AMOUNTS):
                head.amounts[index] = numbers[2 + index, row]
            head.instant = numbers[6, row]
            head.condition = numbers[7, row]
            need = 2 * _head_room(text_count)
            for place in range(text_count):
                start = text_starts[place, row]
                length = text_lengths[place, row]
                if start < 0 or length < 0 or start + length > data.shape[0]:
                    raise IndexError("a text is not in its buffer")
                need += length
            if used + need > rows.shape[0]:
                raise IndexError("there is no room for a row")
            lengths = _write_head(&rows[used], &head)
            at = lengths + text_count
            for place in range(text_count):
                at = _write_length(lengths + place, at, text_lengths[place, row])
            for place in range(text_count):
                length = text_lengths[place, row]
                if length:
                    memcpy(at, &data[text_starts[place, row]], length)
                    at += length
            offsets[row] = used
            used = at - &rows[0]
    return used


def join_records(
    const uint8_t[::1] text, const int64_t[:, ::1] doubts, uint8_t[::1] out
):
    """Write the doubtful records of a text, each with a line feed; return the bytes."""
    cdef Py_ssize_t row, start, length, used = 0
    with nogil:
        for row in range(doubts.shape[0]):
            start = doubts[row, 0]
            length = doubts[row, 1] - start
            if length < 0 or start + length > text.shape[0]:
                raise IndexError("a record is not in the text")
            if used + length + 1 > out.shape[0]:
                raise IndexError("there is no room for a record")
            if length:
                memcpy(&out[used], &text[start], length)
            used += length
            out[used] = _LF
            used += 1
    return used


def head_room(Py_ssize_t text_count):
    """Return the most bytes that a row has before its texts."""
    return _head_room(text_count)
