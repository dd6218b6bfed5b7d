# Packed rows: their format, and columns and lines made of rows in any order.
#
# A row is its head, the length of each text, and the texts: SKU, vendor SKU, brand, title,
# and the tenant's extra columns. The head is a byte of flags (an amount is there, for each
# of the four; the code of the condition, two bits; the numbers are long; the amounts are
# long), the instant, the quantity, the lead time, and each amount that is there. An instant
# has four bytes, as seconds, and a quantity and a lead time two bytes each, as one more
# than the number; long ones have eight, as microseconds, and four. An amount has four
# bytes, a long one six. A length is one byte; 255 means a length of four bytes, which
# follow the lengths of all texts, in order. A null number is -1, and a null text is empty.
#
# A row is checked once against its buffer, which has room for another head behind it.
# Whatever is written is checked once a row too.

cdef enum:
    _AMOUNTS = 4
    _AMOUNT_BYTES = 4
    _LONG_AMOUNT_BYTES = 6
    _NUMBER_BYTES = 8
    _LONG_NUMBER_BYTES = 16
    _LONG = 255
    _CONDITION_SHIFT = 4
    _CONDITION_MASK = 3
    _LONG_NUMBERS = 64
    _LONG_AMOUNTS_SHIFT = 7
    _MICROSECONDS = 1000000
    _OFFSET_BITS = 40
    _ROWS_AHEAD = 24
    _LINE_ROOM = 192
    _BLOCK = 16
    _COPIED_BY_BLOCKS = 128
    _NUMBERS = 8

cdef uint64_t _HIGHEST_BITS = 0x8080808080808080
cdef uint64_t _OFFSET_MASK = (<uint64_t>1 << _OFFSET_BITS) - 1
cdef uint64_t _EACH_BYTE = 0x0101010101010101

SPARE_BYTES = _BLOCK
"""The bytes that must follow the room for texts: they are written, but not used."""

cdef struct _NumberColumn:
    int32_t number  # its index in `NUMBERS`
    int32_t *shorts  # the values; NULL if they are `longs`
    int64_t *longs
    uint8_t *validity
    int64_t null_count

cdef struct _TextColumn:
    int32_t place  # the index of its text in a row; one more than the last: condition
    int32_t *bounds
    uint8_t *validity
    uint8_t *data
    int64_t room
    int64_t used
    int64_t null_count


cdef inline Py_ssize_t _head_room(Py_ssize_t text_count) noexcept nogil:
    """Return the most bytes that a row has before its texts."""
    return 1 + _LONG_NUMBER_BYTES + _AMOUNTS * _LONG_AMOUNT_BYTES + 5 * text_count


cdef inline uint8_t *_write_head(uint8_t *out, const _Head *head) noexcept nogil:
    """Write a head, for which there is room; return where the lengths are."""
    cdef uint8_t flags = <uint8_t>(head.condition << _CONDITION_SHIFT)
    cdef uint64_t seconds = head.instant / _MICROSECONDS
    cdef uint64_t quantity = head.quantity + 1
    cdef uint64_t lead_time = head.lead_time + 1
    cdef uint64_t numbers, all_amounts = 0
    cdef int32_t number
    cdef int index
    cdef Py_ssize_t amount_bytes = _AMOUNT_BYTES
    cdef uint8_t *at = out + 1
    if (
        seconds == <uint32_t>seconds
        and quantity == <uint16_t>quantity
        and lead_time == <uint16_t>lead_time
        and <int64_t>seconds * _MICROSECONDS == head.instant
    ):
        numbers = seconds | quantity << 32 | lead_time << 48
        memcpy(at, &numbers, _NUMBER_BYTES)
        at += _NUMBER_BYTES
    else:
        flags |= _LONG_NUMBERS
        memcpy(at, &head.instant, 8)
        number = <int32_t>head.quantity
        memcpy(at + 8, &number, 4)
        number = <int32_t>head.lead_time
        memcpy(at + 12, &number, 4)
        at += _LONG_NUMBER_BYTES
    for index in range(_AMOUNTS):
        if head.amounts[index] != _NULL:
            flags |= 1 << index
            all_amounts |= head.amounts[index]
    if all_amounts != <uint32_t>all_amounts:
        flags |= 1 << _LONG_AMOUNTS_SHIFT
        amount_bytes = _LONG_AMOUNT_BYTES
    for index in range(_AMOUNTS):
        if head.amounts[index] != _NULL:
            memcpy(at, &head.amounts[index], 8)  # there is room for it
            at += amount_bytes
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
    cdef uint64_t numbers, amount, is_there
    cdef uint64_t are_long = flags >> _LONG_AMOUNTS_SHIFT
    cdef uint64_t amount_bytes = (
        _AMOUNT_BYTES + (_LONG_AMOUNT_BYTES - _AMOUNT_BYTES) * are_long
    )
    cdef uint64_t amount_mask = (<uint64_t>1 << (8 * amount_bytes)) - 1
    cdef int index
    cdef const uint8_t *at = row + 1
    if flags & _LONG_NUMBERS:
        memcpy(&head.instant, at, 8)
        memcpy(&number, at + 8, 4)
        head.quantity = number
        memcpy(&number, at + 12, 4)
        head.lead_time = number
        at += _LONG_NUMBER_BYTES
    else:
        memcpy(&numbers, at, _NUMBER_BYTES)
        head.instant = <int64_t><uint32_t>numbers * _MICROSECONDS
        head.quantity = <int64_t><uint16_t>(numbers >> 32) - 1
        head.lead_time = <int64_t>(numbers >> 48) - 1
        at += _NUMBER_BYTES
    head.condition = (flags >> _CONDITION_SHIFT) & _CONDITION_MASK
    # Whether an amount is there cannot be predicted, so there is no branch.
    for index in range(_AMOUNTS):
        is_there = (flags >> index) & 1
        memcpy(&amount, at, 8)
        head.amounts[index] = <int64_t>((amount & amount_mask) | (is_there - 1))
        at += amount_bytes * is_there
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
            relay_prefetch(row + 96)  # most rows end in this line
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

    def measure(
        self,
        const int64_t[::1] rows,
        int64_t[::1] text_bytes,
        int64_t[::1] number_counts,
    ):
        """Add up the bytes of each text of rows, and count the numbers that are there.

        Args:
            rows: The places of the rows.
            text_bytes: Gets the bytes, one a text, and those of conditions.
            number_counts: Gets the counts, one for each of `NUMBERS`.
        """
        cdef Py_ssize_t index, place, left
        cdef const uint8_t *lengths
        cdef const uint8_t *texts
        cdef _Head head
        if (
            text_bytes.shape[0] != self.text_count + 1
            or number_counts.shape[0] != _NUMBERS
        ):
            raise IndexError("the arrays have other sizes than the rows")
        with nogil:
            for index in range(rows.shape[0]):
                self.fetch(rows, index)
                lengths = self.head(rows[index], &head, &texts, &left)
                number_counts[0] += head.quantity != _NULL
                number_counts[1] += head.lead_time != _NULL
                for place in range(_AMOUNTS):
                    number_counts[2 + place] += head.amounts[place] != _NULL
                number_counts[6] += 1
                number_counts[7] += head.condition != 0
                for place in range(self.text_count):
                    text_bytes[place] += _read_length(lengths + place, &texts)
                text_bytes[self.text_count] += _condition_length(head.condition)

    def gather(self, const int64_t[::1] rows, list numbers, list texts):
        """Read columns of rows into the buffers of Arrow's arrays.

        Args:
            rows: The places of the rows.
            numbers: Of each column of numbers its index in `NUMBERS`, the array that gets
                its values, 0 for a null, and the zeros that get its validity bits.
            texts: Of each column of texts its index in a row, ascending, the arrays that
                get the offsets and the bytes, with `SPARE_BYTES` behind them, and the
                zeros that get its validity bits. An empty text is null.

        Returns:
            The number of nulls of each column, first of numbers, then of texts; or None
            if a column needs more room for its texts.
        """
        cdef Py_ssize_t index, left
        cdef const uint8_t *lengths
        cdef const uint8_t *text
        cdef _Head head
        cdef uint8_t[::1] memory_of_numbers, memory_of_texts
        cdef _NumberColumn *number_columns
        cdef _TextColumn *text_columns
        cdef Py_ssize_t number_count = len(numbers)
        cdef Py_ssize_t text_count = len(texts)
        cdef bint has_room = True
        memory_of_numbers = np.zeros(
            (number_count + 1) * sizeof(_NumberColumn), np.uint8
        )
        memory_of_texts = np.zeros((text_count + 1) * sizeof(_TextColumn), np.uint8)
        number_columns = <_NumberColumn *>&memory_of_numbers[0]
        text_columns = <_TextColumn *>&memory_of_texts[0]
        if not rows.shape[0]:
            return [0] * (number_count + text_count)
        for index in range(number_count):
            _set_numbers(&number_columns[index], rows.shape[0], numbers[index])
        left = -1
        for index in range(text_count):
            _set_texts(&text_columns[index], rows.shape[0], texts[index])
            if not left < text_columns[index].place <= self.text_count:
                raise IndexError("no such text")
            left = text_columns[index].place
        with nogil:
            for index in range(rows.shape[0]):
                self.fetch(rows, index)
                lengths = self.head(rows[index], &head, &text, &left)
                _put_numbers(number_columns, number_count, index, &head)
                if text_count:
                    has_room = self.put_texts(
                        text_columns, text_count, index, &head, lengths, text, left
                    )
                    if not has_room:
                        break
        if not has_room:
            return None
        return [
            *[number_columns[index].null_count for index in range(number_count)],
            *[text_columns[index].null_count for index in range(text_count)],
        ]

    cdef inline int put_texts(
        self,
        _TextColumn *columns,
        Py_ssize_t count,
        Py_ssize_t index,
        const _Head *head,
        const uint8_t *lengths,
        const uint8_t *text,
        Py_ssize_t left,
    ) except -3 nogil:
        """Append the texts of a row to the columns; return whether there is room."""
        cdef const uint8_t *long_lengths = text
        cdef _TextColumn *column = columns
        cdef Py_ssize_t place, length
        if self.skip_long(lengths, &text, &left) > left:
            raise IndexError("a text is not in its buffer")
        for place in range(self.text_count):
            length = _read_length(lengths + place, &long_lengths)
            if column.place == place:
                if not _put_text(column, index, text, length, left):
                    return 0
                column += 1
                if column == columns + count:
                    return 1
            text += length
            left -= length
        length = _condition_length(head.condition)
        return _put_text(
            column, index, _CONDITION_WORDS[head.condition & 3], length, length
        )

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


# --- columns of Arrow -----------------------------------------------------------------


cdef const uint8_t *_CONDITION_WORDS[4]
_CONDITION_WORDS[0] = b""
_CONDITION_WORDS[1] = b"new"
_CONDITION_WORDS[2] = b"used"
_CONDITION_WORDS[3] = b"refurb"


cdef inline Py_ssize_t _condition_length(int64_t code) noexcept nogil:
    return (code == 1) * 3 + (code == 2) * 4 + (code == 3) * 6


cdef int _set_numbers(
    _NumberColumn *column, Py_ssize_t row_count, tuple number_and_arrays
) except -1:
    """Set a column of numbers, whose arrays must have room for some rows."""
    cdef int32_t[::1] shorts
    cdef int64_t[::1] longs
    cdef uint8_t[::1] bits
    cdef int number
    number, values, bits = number_and_arrays
    if number < 0 or number >= _NUMBERS:
        raise IndexError("no such number")
    if len(values) < row_count or 8 * bits.shape[0] < row_count:
        raise IndexError("there is no room for the rows")
    column.number = number
    if values.dtype == np.int32:
        shorts = values
        column.shorts = &shorts[0]
    else:
        longs = values
        column.longs = &longs[0]
    column.validity = &bits[0]
    return 0


cdef int _set_texts(
    _TextColumn *column, Py_ssize_t row_count, tuple place_and_arrays
) except -1:
    """Set a column of texts, whose arrays must have room for some rows."""
    cdef int32_t[::1] text_bounds
    cdef uint8_t[::1] text_bytes
    cdef uint8_t[::1] bits
    column.place, text_bounds, text_bytes, bits = place_and_arrays
    if text_bounds.shape[0] <= row_count or 8 * bits.shape[0] < row_count:
        raise IndexError("there is no room for the rows")
    column.bounds = &text_bounds[0]
    column.bounds[0] = 0
    column.validity = &bits[0]
    column.data = &text_bytes[0]
    column.room = text_bytes.shape[0] - _BLOCK
    if column.room > INT32_MAX:
        raise IndexError("short offsets cannot reach all texts")
    return 0


cdef inline void _put_numbers(
    _NumberColumn *columns, Py_ssize_t count, Py_ssize_t index, const _Head *head
) noexcept nogil:
    """Put the numbers of a row into the columns."""
    cdef int64_t numbers[_NUMBERS]
    cdef int64_t value, is_null
    cdef Py_ssize_t place
    cdef _NumberColumn *column
    numbers[0] = head.quantity
    numbers[1] = head.lead_time
    for place in range(_AMOUNTS):
        numbers[2 + place] = head.amounts[place]
    numbers[6] = head.instant
    numbers[7] = head.condition
    for place in range(count):
        column = &columns[place]
        value = numbers[column.number]
        # Any number can be an instant, which is never null.
        is_null = (value == _NULL) & (column.number != 6)
        value += is_null
        column.null_count += is_null
        column.validity[index >> 3] |= <uint8_t>((1 - is_null) << (index & 7))
        if column.shorts != NULL:
            column.shorts[index] = <int32_t>value
        else:
            column.longs[index] = value


cdef inline bint _put_text(
    _TextColumn *column,
    Py_ssize_t index,
    const uint8_t *text,
    Py_ssize_t length,
    Py_ssize_t left,
) noexcept nogil:
    """Append a text to a column; return whether there is room.

    ``left`` bytes of the buffer can be read.
    """
    if column.used + length > column.room:
        return False
    _copy(column.data + column.used, text, length, left)
    column.used += length
    column.bounds[index + 1] = <int32_t>column.used
    column.validity[index >> 3] |= <uint8_t>((length != 0) << (index & 7))
    column.null_count += length == 0
    return True


cdef inline void _copy(
    uint8_t *at, const uint8_t *text, Py_ssize_t length, Py_ssize_t left
) noexcept nogil:
    """Copy a text, and up to a block behind it: short texts without a call.

    There is room for a block behind the text; ``left`` bytes can be read.
    """
    cdef Py_ssize_t index = 0
    if length > _COPIED_BY_BLOCKS or left < length + _BLOCK:
        memcpy(at, text, length)
        return
    while index < length:
        memcpy(at + index, text + index, _BLOCK)
        index += _BLOCK


# --- what is written: there is room for it -------------------------------------------


cdef inline uint64_t _zero_bytes(uint64_t word) noexcept nogil:
    """Return a number whose bit 7 of a byte is set if that byte is the first 0."""
    return (word - _EACH_BYTE) & ~word


cdef inline uint8_t *_quoted(
    uint8_t *at, const uint8_t *text, Py_ssize_t length, uint8_t delimiter
) noexcept nogil:
    """Write a text, in quotes if it needs them; return the position behind it."""
    cdef Py_ssize_t index
    if _copy_plain(at, text, length, delimiter):
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
    uint8_t *at, const uint8_t *text, Py_ssize_t length, uint8_t delimiter
) noexcept nogil:
    """Copy a text; return whether it needs no quotes."""
    cdef uint64_t word, marks = 0
    cdef uint64_t delimiters = _EACH_BYTE * delimiter
    cdef Py_ssize_t index = 0
    cdef uint8_t byte
    if length < 8:
        for index in range(length):
            byte = text[index]
            marks |= (
                (byte == delimiter) | (byte == _QUOTE) | (byte == _LF) | (byte == _CR)
            )
            at[index] = byte
        return not marks
    while index < length:
        if index > length - 8:  # the last word begins within the one before it
            index = length - 8
        memcpy(&word, text + index, 8)
        memcpy(at + index, &word, 8)
        marks |= _zero_bytes(word ^ delimiters)
        marks |= _zero_bytes(word ^ (_EACH_BYTE * _QUOTE))
        marks |= _zero_bytes(word ^ (_EACH_BYTE * _LF))
        marks |= _zero_bytes(word ^ (_EACH_BYTE * _CR))
        index += 8
    return not marks & _HIGHEST_BITS


cdef inline uint8_t *_comma(uint8_t *at) noexcept nogil:
    at[0] = 44
    return at + 1


cdef inline uint8_t *_whole(uint8_t *at, uint64_t value) noexcept nogil:
    cdef int count = 1 + (value > 9) + (value > 99) + (value > 999) + (value > 9999)
    cdef uint64_t left = value / 100000
    cdef uint8_t *first
    while left:
        count += 1
        left = left / 10
    # Digits are put where they stay: a copy would wait until they are written.
    first = at + count
    while value > 99:
        first -= 2
        _two(first, value)
        value = value / 100
    if value > 9:
        _two(at, value)
    else:
        at[0] = 48 + <uint8_t>value
    return at + count


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
