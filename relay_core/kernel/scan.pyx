# cython: language_level=3, boundscheck=True, wraparound=False
# cython: initializedcheck=False, cdivision=True, show_performance_hints=False
"""One pass over the text of a CSV feed, record by record, without the interpreter's lock.

A record is plain if each of its cells has one of a few simple forms. `scan` packs the
values of plain records into rows. Every other record is doubtful: `scan` lists it, and
another reader must read it. The forms are a strict part of those that the other reader
reads, and the values are the same.

Suppliers' bytes are read by checked indices alone. ``rows.pxi`` has the format of rows.
"""

import numpy as np

from libc.stdint cimport INT32_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define relay_prefetch(address) __builtin_prefetch(address)
    #else
    #define relay_prefetch(address)
    #endif
    static const char relay_digit_pairs[] =
        "0001020304050607080910111213141516171819"
        "2021222324252627282930313233343536373839"
        "4041424344454647484950515253545556575859"
        "6061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    """
    void relay_prefetch(const void *address) noexcept nogil
    const char relay_digit_pairs[]

cdef struct _Head:
    int64_t instant
    int64_t amounts[4]
    int64_t quantity
    int64_t lead_time
    int64_t condition

VERSION = 8
"""Changes with each function and format that Python code depends on."""

# The kinds of columns.
TEXT = 0
QUANTITY = 1
LEAD_TIME = 2
MONEY = 3
CONDITION = 4
INSTANT = 5
GTIN = 6
cdef enum:
    _TEXT = 0
    _QUANTITY = 1
    _LEAD_TIME = 2
    _MONEY = 3
    _CONDITION = 4
    _INSTANT = 5
    _GTIN = 6

# The numbers of a row, by the index that `gather_numbers` takes.
NUMBERS = (
    "quantity_available",
    "lead_time_days",
    "cost",
    "map_price",
    "price",
    "msrp",
    "updated_at",
    "condition",
)
NUMBER_COUNT = 7  # the first of them, which are numbers and not codes

cdef enum:
    _NULL = -1
    _DOUBT = -2
    _DOUBLED = 1
    _DEFAULT = 2
    _MAX_DIGITS = 9
    _PLACES = 4
    _FIRST_YEAR = 1900
    _END_YEAR = 2200
    _QUOTE = 34
    _LF = 10
    _CR = 13

cdef int64_t _NO_INSTANT = INT64_MIN
cdef int64_t _UNITS = 10000
cdef int64_t _DAY = 86400
cdef int32_t _UNKNOWN_OFFSET = INT32_MAX
cdef int32_t _NO_OFFSET = INT32_MAX - 1


cdef class SkuTable:
    """A vendor's SKU map as a table of hashes.

    Args of the constructor: the ``n + 1`` offsets and the bytes of the vendor's SKUs,
    which are distinct, and those of the tenant's SKUs.
    """

    cdef const int64_t[::1] key_bounds
    cdef const uint8_t[::1] key_bytes
    cdef const int64_t[::1] value_bounds
    cdef const uint8_t[::1] value_bytes
    cdef uint32_t[::1] slots
    cdef uint64_t mask

    def __init__(self, key_bounds, key_bytes, value_bounds, value_bytes):
        self.key_bounds = key_bounds
        self.key_bytes = key_bytes
        self.value_bounds = value_bounds
        self.value_bytes = value_bytes
        cdef Py_ssize_t count = self.key_bounds.shape[0] - 1
        cdef Py_ssize_t size = 16
        while size < 2 * count:
            size *= 2
        self.slots = np.zeros(size, np.uint32)
        self.mask = size - 1
        cdef Py_ssize_t row
        cdef uint64_t place
        for row in range(count):
            place = _hash(
                self.key_bytes, self.key_bounds[row], self.key_bounds[row + 1]
            ) & self.mask
            while self.slots[place]:
                place = (place + 1) & self.mask
            self.slots[place] = row + 1

    cdef Py_ssize_t find(
        self, const uint8_t[::1] text, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return the row of a text, or -1."""
        cdef uint64_t place = _hash(text, start, end) & self.mask
        cdef Py_ssize_t row, first, length
        while self.slots[place]:
            row = self.slots[place] - 1
            first = self.key_bounds[row]
            length = self.key_bounds[row + 1] - first
            if length == end - start:
                if not length or not memcmp(
                    &self.key_bytes[first], &text[start], length
                ):
                    return row
            place = (place + 1) & self.mask
        return -1


cdef inline uint64_t _hash(
    const uint8_t[::1] text, Py_ssize_t start, Py_ssize_t end
) except? 0 nogil:
    cdef uint64_t value = 0xCBF29CE484222325ULL
    cdef Py_ssize_t index
    for index in range(start, end):
        value = (value ^ text[index]) * <uint64_t>0x100000001B3ULL
    value ^= value >> 29
    return value


cdef class Scanner:
    """The reader of one feed's records.

    Args of the constructor:
        text: The records as UTF-8.
        width: The number of cells of a record that fits the header.
        columns: A row for each column that is read: its kind, the index of its cells in
            a record, its place among the row's amounts or texts, and whether a zero is
            doubtful.
        null_words: For each column, its words for null in lower case, as bytes.
        longest_null: For each column, the number of bytes up to which a cell that is
            not ASCII may be a word for null in other letters.
        text_count: The number of a row's texts.
        delimiter, decimal: Bytes.
        thousands: The byte between groups of three digits; 0 if there is none.
        quoting: Whether a quote opens a cell.
        offset_of_day: Gives the offset from UTC of times without an offset, in seconds,
            by their day since 1970-01-01; None if it changes on that day. None if these
            times are in UTC.
        cell_bytes: The largest cell.
        null_numbers: The numbers in place of nulls, one for each of `NUMBERS`.
        null_texts: The texts in place of nulls, one for each text, as bytes.
        symbols: The texts that may begin or end an amount, longest first, as bytes.
        sku_map: The vendor's SKU map, or None.
    """

    cdef const uint8_t[::1] text
    cdef const int32_t[:, ::1] columns
    cdef Py_ssize_t width, text_count, cell_bytes
    cdef uint8_t delimiter, decimal, thousands
    cdef bint quoting
    cdef object offset_of_day
    cdef int32_t[::1] day_offsets
    cdef const int64_t[::1] null_numbers
    cdef const uint8_t[::1] null_bytes
    cdef const int64_t[::1] null_bounds
    cdef const uint8_t[::1] word_bytes
    cdef const int64_t[::1] word_bounds
    cdef const int64_t[::1] words_of
    cdef const int64_t[::1] longest_null
    cdef const uint8_t[::1] symbol_bytes
    cdef const int64_t[::1] symbol_bounds
    cdef SkuTable sku_map
    cdef bint has_map
    cdef uint8_t is_stop[256]
    cdef uint8_t is_space[256]

    def __init__(
        self, text, *, width, columns, null_words, longest_null, text_count,
        delimiter, decimal, thousands, quoting, offset_of_day, cell_bytes,
        null_numbers, null_texts, symbols, sku_map,
    ):
        self.text = text
        self.width = width
        self.columns = columns
        self.text_count = text_count
        self.delimiter = delimiter
        self.decimal = decimal
        self.thousands = thousands
        self.quoting = quoting
        self.offset_of_day = offset_of_day
        # Few of these days are in a feed, so each is asked for when it is read.
        self.day_offsets = np.full(
            _days(_END_YEAR, 1, 1) - _days(_FIRST_YEAR, 1, 1),
            0 if offset_of_day is None else _UNKNOWN_OFFSET,
            np.int32,
        )
        self.cell_bytes = cell_bytes
        self.null_numbers = null_numbers
        self.null_bounds = np.cumsum([0, *map(len, null_texts)], dtype=np.int64)
        self.null_bytes = np.frombuffer(b"".join(null_texts) + b"\0", np.uint8)
        self.longest_null = np.array(longest_null, np.int64)
        words = [word for column_words in null_words for word in column_words]
        counts = [len(column_words) for column_words in null_words]
        self.words_of = np.cumsum([0, *counts], dtype=np.int64)
        self.word_bounds = np.cumsum([0, *map(len, words)], dtype=np.int64)
        self.word_bytes = np.frombuffer(b"".join(words) + b"\0", np.uint8)
        self.symbol_bounds = np.cumsum([0, *map(len, symbols)], dtype=np.int64)
        self.symbol_bytes = np.frombuffer(b"".join(symbols) + b"\0", np.uint8)
        self.sku_map = sku_map
        self.has_map = sku_map is not None
        cdef int byte
        for byte in range(256):
            self.is_stop[byte] = byte in (delimiter, _CR, _LF)
            self.is_space[byte] = byte in b"\t\n\v\f\r\x1c\x1d\x1e\x1f "

    def scan(
        self,
        Py_ssize_t start,
        Py_ssize_t limit,
        uint8_t[::1] rows,
        int64_t[::1] offsets,
        int64_t[::1] numbers,
        int64_t[:, ::1] doubts,
        int64_t[:, ::1] extremes,
        Py_ssize_t doubtful_first,
    ):
        """Read the records that start in a part of the text.

        Args:
            start: Where a record, or an empty line before it, starts.
            limit: The end of the part.
            rows: Gets the packed rows.
            offsets: Gets the offset of each row in ``rows``.
            numbers: Gets the number of each row's record, from 1.
            doubts: Gets a row for each doubtful record: its start, its end without the
                line end, its number, and the number of line ends before it.
            extremes: The least and the greatest of each number so far, updated.
            doubtful_first: The number of plain records that are doubtful nonetheless,
                the first ones.

        Returns:
            Whether the text can be read (a quote is closed, and no cell is too large),
            the position behind the last record that was read, and the numbers of
            records, rows, bytes of ``rows`` that are needed, doubtful records, line
            ends, bytes of records of another width, and records that are left of
            ``doubtful_first``.
        """
        if start < 0 or limit > self.text.shape[0]:
            raise IndexError("the part is not in the text")
        starts = np.zeros(self.width + 1, np.int64)
        ends = np.zeros(self.width + 1, np.int64)
        doubled = np.zeros(self.width + 1, np.uint8)
        texts = np.zeros((self.text_count, 3), np.int64)
        cdef int64_t[::1] cell_starts = starts
        cdef int64_t[::1] cell_ends = ends
        cdef uint8_t[::1] is_doubled = doubled
        cdef int64_t[:, ::1] text_cells = texts
        cdef Py_ssize_t size = self.text.shape[0]
        cdef Py_ssize_t position = start, record_start, record_lines, count
        cdef Py_ssize_t records = 0, row_count = 0, used = 0, doubt_count = 0
        cdef Py_ssize_t lines = 0, ragged = 0, length
        cdef Py_ssize_t max_rows = min(offsets.shape[0], numbers.shape[0])
        cdef Py_ssize_t max_doubts = doubts.shape[0]
        cdef bint is_readable = True
        cdef bint is_odd
        cdef _Head head
        cdef Py_ssize_t mapped
        with nogil:
            while position < limit:
                if self.text[position] == _LF or self.text[position] == _CR:
                    position = self.after_line_end(position)
                    lines += 1
                    continue
                if row_count == max_rows or doubt_count == max_doubts:
                    break
                record_start = position
                record_lines = lines
                count = 0
                is_odd = False
                while True:
                    length = self.cell(
                        position, count, cell_starts, cell_ends, is_doubled,
                        &is_odd, &lines,
                    )
                    if length < 0 or length - position > self.cell_bytes:
                        is_readable = False
                        break
                    position = length
                    count += 1
                    if position >= size or self.text[position] != self.delimiter:
                        break
                    position += 1
                if not is_readable:
                    break
                length = -1
                if count == self.width and not is_odd:
                    mapped = self.read(
                        &head, cell_starts, cell_ends, is_doubled, text_cells
                    )
                    if mapped != _DOUBT and doubtful_first > 0:
                        doubtful_first -= 1
                        mapped = _DOUBT
                    if mapped != _DOUBT:
                        length = self.pack(&head, mapped, text_cells, rows, used)
                        if length == -1:  # no room: read the record again
                            position = record_start
                            lines = record_lines
                            break
                if length >= 0:
                    offsets[row_count] = used
                    numbers[row_count] = records + 1
                    row_count += 1
                    used = length
                    _widen(extremes, &head)
                else:
                    doubts[doubt_count, 0] = record_start
                    doubts[doubt_count, 1] = position
                    doubts[doubt_count, 2] = records + 1
                    doubts[doubt_count, 3] = record_lines
                    doubt_count += 1
                    if count != self.width:
                        ragged += position - record_start
                records += 1
                if position < size:
                    position = self.after_line_end(position)
                    lines += 1
        if used:
            used += _head_room(self.text_count)
        return (
            bool(is_readable), position, records, row_count, used, doubt_count, lines, ragged,
            doubtful_first,
        )

    cdef inline Py_ssize_t after_line_end(self, Py_ssize_t position) except -3 nogil:
        cdef uint8_t byte = self.text[position]
        position += 1
        if (
            byte == _CR
            and position < self.text.shape[0]
            and self.text[position] == _LF
        ):
            position += 1
        return position

    cdef inline Py_ssize_t cell(
        self,
        Py_ssize_t position,
        Py_ssize_t index,
        int64_t[::1] starts,
        int64_t[::1] ends,
        uint8_t[::1] doubled,
        bint *is_odd,
        Py_ssize_t *lines,
    ) except? -3 nogil:
        """Find a cell; return the position behind it, or -1 if its quote is open."""
        cdef Py_ssize_t size = self.text.shape[0]
        cdef Py_ssize_t start = position
        cdef Py_ssize_t end
        cdef bint has_doubled = False
        cdef uint8_t byte
        if self.quoting and position < size and self.text[position] == _QUOTE:
            start += 1
            position += 1
            while True:
                if position >= size:
                    return -1
                byte = self.text[position]
                if byte == _QUOTE:
                    if position + 1 < size and self.text[position + 1] == _QUOTE:
                        has_doubled = True
                        position += 2
                        continue
                    break
                if byte == _CR or byte == _LF:
                    position = self.after_line_end(position)
                    lines[0] += 1
                    continue
                position += 1
            end = position
            position += 1
            if position < size and not self.is_stop[self.text[position]]:
                is_odd[0] = True  # text follows the closing quote
                while position < size and not self.is_stop[self.text[position]]:
                    position += 1
        else:
            while position < size and not self.is_stop[self.text[position]]:
                position += 1
            end = position
        if index < self.width:
            starts[index] = start
            ends[index] = end
            doubled[index] = has_doubled
        return position

    cdef Py_ssize_t read(
        self,
        _Head *head,
        int64_t[::1] starts,
        int64_t[::1] ends,
        uint8_t[::1] doubled,
        int64_t[:, ::1] texts,
    ) except? -3 nogil:
        """Read the cells of a record.

        Return the SKU's row in the map, `_NULL` if it has none, or `_DOUBT`.
        """
        cdef Py_ssize_t column, cell, start, end
        cdef int64_t value
        cdef int kind, place
        head.quantity = self.null_numbers[0]
        head.lead_time = self.null_numbers[1]
        for place in range(4):
            head.amounts[place] = self.null_numbers[2 + place]
        head.instant = self.null_numbers[6]
        head.condition = self.null_numbers[7]
        for place in range(self.text_count):
            texts[place, 0] = self.null_bounds[place]
            texts[place, 1] = self.null_bounds[place + 1]
            texts[place, 2] = _DEFAULT
        for column in range(self.columns.shape[0]):
            kind = self.columns[column, 0]
            cell = self.columns[column, 1]
            place = self.columns[column, 2]
            start = self.trimmed_start(starts[cell], ends[cell])
            end = self.trimmed_end(start, ends[cell])
            if start < end and self.words_of[column + 1] > self.words_of[column]:
                value = self.null_word(column, start, end)
                if value == _DOUBT:
                    return _DOUBT
                if value:
                    end = start
            if start == end:
                continue
            if kind == _TEXT:
                texts[place, 0] = start
                texts[place, 1] = end
                texts[place, 2] = _DOUBLED if doubled[cell] else 0
                continue
            if doubled[cell]:
                return _DOUBT
            if kind == _GTIN:
                start = self.gtin_start(start, end)
                if start < 0:
                    return _DOUBT
                texts[place, 0] = start
                texts[place, 1] = end
                texts[place, 2] = 0
                continue
            if kind == _MONEY:
                value = self.amount(start, end)
                if value < 0 or (value == 0 and self.columns[column, 3]):
                    return _DOUBT
                head.amounts[place] = value
            elif kind == _INSTANT:
                value = self.instant(start, end)
                if value == _NO_INSTANT:
                    return _DOUBT
                head.instant = value
            elif kind == _CONDITION:
                value = self.condition(start, end)
                if value < 0:
                    return _DOUBT
                head.condition = value
            else:
                value = self.number(start, end, 0)
                if value < 0:
                    return _DOUBT
                if kind == _QUANTITY:
                    head.quantity = value
                else:
                    head.lead_time = value
        if texts[0, 0] == texts[0, 1] or head.quantity == _NULL:
            return _DOUBT
        if not self.has_map:
            return _NULL
        if texts[0, 2]:  # neither a default nor a cell with quotes is looked up here
            return _DOUBT
        cell = self.sku_map.find(self.text, texts[0, 0], texts[0, 1])
        if cell >= 0 and texts[1, 0] == texts[1, 1]:
            texts[1, 0] = texts[0, 0]
            texts[1, 1] = texts[0, 1]
            texts[1, 2] = 0
        return cell

    cdef Py_ssize_t pack(
        self,
        _Head *head,
        Py_ssize_t mapped,
        int64_t[:, ::1] texts,
        uint8_t[::1] rows,
        Py_ssize_t used,
    ) except? -3 nogil:
        """Write a row; return the number of bytes that are used then, or -1."""
        cdef Py_ssize_t place, index, stop, need = _head_room(self.text_count)
        cdef Py_ssize_t first = 0, length = 0
        cdef uint8_t *at
        cdef uint8_t *lengths
        for place in range(self.text_count):
            need += texts[place, 1] - texts[place, 0]
        if mapped >= 0:
            first = self.sku_map.value_bounds[mapped]
            length = self.sku_map.value_bounds[mapped + 1] - first
            need += length
        # A reader of the last row may look at as many bytes as a head can have.
        if used + need + _head_room(self.text_count) > rows.shape[0]:
            return -1
        lengths = _write_head(&rows[used], head)
        at = lengths + self.text_count
        # Lengths that need more than a byte come before the texts.
        for place in range(self.text_count):
            if place == 0 and mapped >= 0:
                at = _write_length(lengths, at, length)
                continue
            index = texts[place, 1] - texts[place, 0]
            if texts[place, 2] == _DOUBLED:
                index = self.unquoted_length(texts[place, 0], texts[place, 1])
            at = _write_length(lengths + place, at, index)
        if mapped >= 0 and length:
            memcpy(at, &self.sku_map.value_bytes[first], length)
            at += length
        for place in range(mapped >= 0, self.text_count):
            index = texts[place, 0]
            stop = texts[place, 1]
            if index == stop:
                continue
            if texts[place, 2] == _DEFAULT:
                memcpy(at, &self.null_bytes[index], stop - index)
                at += stop - index
                continue
            if stop > self.text.shape[0]:
                raise IndexError("a cell is not in the text")
            if not texts[place, 2]:
                memcpy(at, &self.text[index], stop - index)
                at += stop - index
                continue
            while index < stop:
                at[0] = self.text[index]
                at += 1
                # The second of two quotes is left out.
                index += 2 if self.text[index] == _QUOTE else 1
        return at - &rows[0]

    cdef Py_ssize_t unquoted_length(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return the length of a cell that has each of its quotes twice."""
        cdef Py_ssize_t length = 0
        while start < end:
            start += 2 if self.text[start] == _QUOTE else 1
            length += 1
        return length

    # --- cells ---

    cdef inline Py_ssize_t trimmed_start(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        cdef int size
        while start < end:
            size = self.space_at(start, end)
            if not size:
                break
            start += size
        return start

    cdef inline Py_ssize_t trimmed_end(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        cdef uint8_t byte
        while start < end:
            byte = self.text[end - 1]
            if byte < 0x80:
                if not self.is_space[byte]:
                    break
                end -= 1
            elif end - start >= 2 and self.space_at(end - 2, end) == 2:
                end -= 2
            elif end - start >= 3 and self.space_at(end - 3, end) == 3:
                end -= 3
            else:
                break
        return end

    cdef inline int space_at(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return the number of bytes of a white space character; 0 for any other."""
        cdef uint8_t first = self.text[start]
        cdef uint8_t second, third
        if first < 0x80:
            return self.is_space[first]
        if first == 0xC2:
            if end - start < 2:
                return 0
            second = self.text[start + 1]
            return 2 if second == 0x85 or second == 0xA0 else 0
        if end - start < 3 or first < 0xE1 or first > 0xE3:
            return 0
        second = self.text[start + 1]
        third = self.text[start + 2]
        if first == 0xE1:
            return 3 if second == 0x9A and third == 0x80 else 0
        if first == 0xE3:
            return 3 if second == 0x80 and third == 0x80 else 0
        if second == 0x81:
            return 3 if third == 0x9F else 0
        if second == 0x80:
            if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF:
                return 3
        return 0

    cdef int64_t null_word(
        self, Py_ssize_t column, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return whether a cell is a word for null, or `_DOUBT`."""
        cdef Py_ssize_t word, index, first, length = end - start
        cdef uint8_t byte
        cdef bint is_equal
        if length <= self.longest_null[column]:
            for index in range(start, end):
                if self.text[index] >= 0x80:
                    return _DOUBT
        for word in range(self.words_of[column], self.words_of[column + 1]):
            first = self.word_bounds[word]
            if self.word_bounds[word + 1] - first != length:
                continue
            is_equal = True
            for index in range(length):
                byte = self.text[start + index]
                if byte >= 65 and byte <= 90:
                    byte += 32
                if byte != self.word_bytes[first + index]:
                    is_equal = False
                    break
            if is_equal:
                return 1
        return 0

    cdef int64_t amount(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return an amount in ten-thousandths, or `_DOUBT`."""
        cdef Py_ssize_t symbol, first, length
        cdef Py_ssize_t symbol_count = self.symbol_bounds.shape[0] - 1
        if symbol_count:
            for symbol in range(symbol_count):
                first = self.symbol_bounds[symbol]
                length = self.symbol_bounds[symbol + 1] - first
                if self.is_symbol(start, end, first, length):
                    start = self.trimmed_start(start + length, end)
                    break
            for symbol in range(symbol_count):
                first = self.symbol_bounds[symbol]
                length = self.symbol_bounds[symbol + 1] - first
                if end - start >= length and self.is_symbol(
                    end - length, end, first, length
                ):
                    end = self.trimmed_end(start, end - length)
                    break
            # A symbol may leave white space at the other end.
            start = self.trimmed_start(start, end)
        return self.number(start, end, _PLACES)

    cdef inline bint is_symbol(
        self, Py_ssize_t start, Py_ssize_t end, Py_ssize_t first, Py_ssize_t length
    ) except? -3 nogil:
        cdef Py_ssize_t index
        if end - start < length:
            return False
        for index in range(length):
            if self.text[start + index] != self.symbol_bytes[first + index]:
                return False
        return True

    cdef inline int64_t number(
        self, Py_ssize_t start, Py_ssize_t end, int places
    ) except? -3 nogil:
        """Return a number times ten to the power of its places, or `_DOUBT`."""
        cdef int64_t value = 0
        cdef int digits = 0, group = 0, mark
        cdef bint is_grouped = False
        cdef Py_ssize_t index = start
        cdef uint8_t byte
        while index < end:
            byte = self.text[index]
            if byte >= 48 and byte <= 57:
                value = value * 10 + (byte - 48)
                digits += 1
                group += 1
                if digits > _MAX_DIGITS:
                    return _DOUBT
                index += 1
                continue
            if not self.thousands:
                break
            mark = self.mark_at(index, end)
            if not mark:
                break
            if not digits or (group != 3 if is_grouped else group > 3):
                return _DOUBT
            is_grouped = True
            group = 0
            index += mark
        if not digits or (is_grouped and group != 3):
            return _DOUBT
        if index < end:
            if not places or self.text[index] != self.decimal:
                return _DOUBT
            index += 1
            if index == end or end - index > places:
                return _DOUBT
            while index < end:
                byte = self.text[index]
                if byte < 48 or byte > 57:
                    return _DOUBT
                value = value * 10 + (byte - 48)
                places -= 1
                index += 1
        while places > 0:
            value *= 10
            places -= 1
        return value

    cdef inline int mark_at(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return the number of bytes of a mark between digits; 0 for anything else."""
        cdef uint8_t byte = self.text[start]
        if byte == self.thousands:
            return 1
        if self.thousands == 32:
            if byte == 0xC2 and end - start >= 2 and self.text[start + 1] == 0xA0:
                return 2
            if (
                byte == 0xE2 and end - start >= 3
                and self.text[start + 1] == 0x80 and self.text[start + 2] == 0xAF
            ):
                return 3
        elif self.thousands == 39:
            if (
                byte == 0xE2 and end - start >= 3
                and self.text[start + 1] == 0x80 and self.text[start + 2] == 0x99
            ):
                return 3
        return 0

    cdef inline Py_ssize_t gtin_start(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return where the digits start that a GTIN is written with, or -1.

        A GTIN has 8, 12, 13 or 14 digits, of which the last completes the weighted sum
        of the others. It is written as the shortest of these that has no less than all
        digits behind the zeros in front.
        """
        cdef Py_ssize_t length = end - start, index, first = end
        cdef int total = 0, digit
        if length != 8 and length != 12 and length != 13 and length != 14:
            return -1
        for index in range(start, end):
            digit = <int>self.text[index] - 48
            if digit < 0 or digit > 9:
                return -1
            if digit and first == end:
                first = index
            # The last digit but one counts three times, and so does each second one.
            total += digit if (end - index) % 2 else 3 * digit
        if first == end or total % 10:
            return -1
        length = end - first
        if length <= 8:
            return end - 8
        return end - (12 if length < 12 else length)

    cdef int condition(self, Py_ssize_t start, Py_ssize_t end) except? -3 nogil:
        """Return the code of a condition, or `_DOUBT`."""
        cdef uint8_t word[6]
        cdef Py_ssize_t length = end - start, index
        cdef uint8_t byte
        if length > 6:
            return _DOUBT
        for index in range(length):
            byte = self.text[start + index]
            if byte >= 65 and byte <= 90:
                byte += 32
            word[index] = byte
        if length == 3 and not memcmp(word, b"new", 3):
            return 1
        if length == 4 and not memcmp(word, b"used", 4):
            return 2
        if length == 6 and not memcmp(word, b"refurb", 6):
            return 3
        return _DOUBT

    cdef inline int digits(
        self, Py_ssize_t start, Py_ssize_t end, int count
    ) except? -3 nogil:
        """Return the number that some digits are, or -1."""
        cdef int value = 0
        cdef Py_ssize_t index
        cdef uint8_t byte
        if end - start < count:
            return -1
        for index in range(start, start + count):
            byte = self.text[index]
            if byte < 48 or byte > 57:
                return -1
            value = value * 10 + (byte - 48)
        return value

    cdef int64_t instant(
        self, Py_ssize_t start, Py_ssize_t end
    ) except? -3 nogil:
        """Return an ISO timestamp in microseconds, or `_NO_INSTANT`."""
        cdef int year, month, day, hour = 0, minute = 0, second = 0
        cdef int64_t microseconds = 0, day_number, seconds
        cdef int places = 0, offset_hours, offset_minutes
        cdef Py_ssize_t at = start + 10
        cdef uint8_t sign
        if end - start < 10:
            return _NO_INSTANT
        year = self.digits(start, end, 4)
        month = self.digits(start + 5, end, 2)
        day = self.digits(start + 8, end, 2)
        if self.text[start + 4] != 45 or self.text[start + 7] != 45:
            return _NO_INSTANT
        if year < _FIRST_YEAR or year >= _END_YEAR or month < 1 or month > 12:
            return _NO_INSTANT
        if day < 1 or day > _month_days(year, month):
            return _NO_INSTANT
        day_number = _days(year, month, day)
        seconds = day_number * _DAY
        if at == end:
            return self.of_local(day_number, seconds * 1000000)
        if self.text[at] != 32 and self.text[at] != 84:
            return _NO_INSTANT
        if end - at < 6 or self.text[at + 3] != 58:
            return _NO_INSTANT
        hour = self.digits(at + 1, end, 2)
        minute = self.digits(at + 4, end, 2)
        at += 6
        if at < end and self.text[at] == 58:
            second = self.digits(at + 1, end, 2)
            at += 3
            if second >= 0 and at < end and self.text[at] == 46:
                at += 1
                while at < end and self.text[at] >= 48 and self.text[at] <= 57:
                    if places == 6:
                        return _NO_INSTANT
                    microseconds = microseconds * 10 + (self.text[at] - 48)
                    places += 1
                    at += 1
                if not places:
                    return _NO_INSTANT
                while places < 6:
                    microseconds *= 10
                    places += 1
        if hour < 0 or hour > 23 or minute < 0 or minute > 59:
            return _NO_INSTANT
        if second < 0 or second > 59:
            return _NO_INSTANT
        seconds += hour * 3600 + minute * 60 + second
        if at == end:
            return self.of_local(day_number, seconds * 1000000 + microseconds)
        sign = self.text[at]
        if sign == 90:
            if at + 1 != end:
                return _NO_INSTANT
            return seconds * 1000000 + microseconds
        if sign != 43 and sign != 45:
            return _NO_INSTANT
        offset_hours = self.digits(at + 1, end, 2)
        at += 3
        if at < end and self.text[at] == 58:
            at += 1
        offset_minutes = self.digits(at, end, 2)
        if at + 2 != end or offset_hours < 0 or offset_hours > 23:
            return _NO_INSTANT
        if offset_minutes < 0 or offset_minutes > 59:
            return _NO_INSTANT
        if sign == 43:
            seconds -= offset_hours * 3600 + offset_minutes * 60
        else:
            seconds += offset_hours * 3600 + offset_minutes * 60
        return seconds * 1000000 + microseconds

    cdef int64_t of_local(
        self, int64_t day, int64_t microseconds
    ) except? -3 nogil:
        """Return a local time in UTC, or `_NO_INSTANT` if the offset changes that day."""
        cdef Py_ssize_t index = day - _days(_FIRST_YEAR, 1, 1)
        cdef int32_t seconds = self.day_offsets[index]
        if seconds == _UNKNOWN_OFFSET:
            with gil:
                offset = self.offset_of_day(day)
                seconds = _NO_OFFSET if offset is None else offset
            self.day_offsets[index] = seconds
        if seconds == _NO_OFFSET:
            return _NO_INSTANT
        return microseconds - seconds * <int64_t>1000000


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


cdef inline int _widen_by(
    int64_t[:, ::1] extremes, int index, int64_t value
) except -3 nogil:
    if value < extremes[index, 0]:
        extremes[index, 0] = value
    if value > extremes[index, 1]:
        extremes[index, 1] = value
    return 0


cdef inline int _widen(int64_t[:, ::1] extremes, _Head *head) except -3 nogil:
    """Widen the extremes by a row; a null counts as no number."""
    cdef int index
    _widen_by(extremes, 0, head.quantity)
    if head.lead_time != _NULL:
        _widen_by(extremes, 1, head.lead_time)
    for index in range(4):
        if head.amounts[index] != _NULL:
            _widen_by(extremes, 2 + index, head.amounts[index])
    _widen_by(extremes, 6, head.instant)
    return 0


def part_starts(const uint8_t[::1] text, Py_ssize_t size, bint quoting):
    """Return where the parts of a text may start, about ``size`` bytes apart.

    A part starts behind a line feed with an even number of quotes before it. If a quote
    is a letter in some cell, a start may be inside of a record.
    """
    cdef Py_ssize_t position = 0, index, length = text.shape[0]
    cdef Py_ssize_t quotes = 0
    cdef const uint8_t *part
    starts = [0]
    while length - position > size:
        with nogil:
            if quoting:
                part = &text[position]  # ``size`` bytes from here on are in the text
                for index in range(size):
                    quotes += part[index] == _QUOTE
            position += size
            while position < length:
                if text[position] == _QUOTE and quoting:
                    quotes += 1
                elif text[position] == _LF and quotes % 2 == 0:
                    break
                position += 1
        if position + 1 >= length:
            break
        position += 1
        starts.append(position)
    return starts


include "rows.pxi"
include "columns.pxi"
include "groups.pxi"
