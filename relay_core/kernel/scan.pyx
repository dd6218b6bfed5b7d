# cython: language_level=3, boundscheck=True, wraparound=False
# cython: initializedcheck=False, cdivision=True, show_performance_hints=False
"""One pass over the text of a CSV feed, record by record, without the interpreter's lock.

A record is plain if each of its cells has one of a few simple forms. `scan` packs the
values of plain records into rows. Every other record is doubtful: `scan` lists it, and
another reader must read it. The forms are a strict part of those that the other reader
reads, and the values are the same.

Suppliers' bytes are read by checked indices, or by pointers within a range that was
checked before. ``rows.pxi`` has the format of rows.
"""

import numpy as np
cimport cython

from libc.stdint cimport INT32_MAX, INT64_MAX, INT64_MIN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

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

cdef struct _Column:  # see the constructor of `Scanner`
    int32_t kind
    int32_t cell
    int32_t place
    int32_t zero_is_doubtful

cdef struct _Cell:
    int64_t start
    int64_t end
    int64_t is_doubled  # whether it has quotes, each of them twice

cdef struct _Text:
    int64_t start
    int64_t end
    int64_t source

cdef struct _Block:
    Py_ssize_t start
    uint64_t stops  # a bit for each byte

VERSION = 10
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
    # The sources of a row's texts
    _PLAIN = 0
    _DOUBLED = 1  # a cell that has quotes, each of them twice
    _DEFAULT = 2
    _MAPPED = 3
    _COPIED_BYTES = 32
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


@cython.final
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
        while size < 4 * count:
            size *= 2
        self.slots = np.zeros(size, np.uint32)
        self.mask = size - 1
        cdef Py_ssize_t row, first, length
        cdef uint64_t place
        for row in range(count):
            first = self.key_bounds[row]
            length = self.key_bounds[row + 1] - first
            if first < 0 or length < 1 or length > self.key_bytes.shape[0] - first:
                raise IndexError("a SKU is not in the bytes, or is empty")
            place = _hash(&self.key_bytes[first], length) & self.mask
            while self.slots[place]:
                place = (place + 1) & self.mask
            self.slots[place] = row + 1

    cdef Py_ssize_t find(
        self, const uint8_t *text, Py_ssize_t length
    ) except? -3 nogil:
        """Return the row of a text, or -1."""
        cdef uint64_t place = _hash(text, length) & self.mask
        cdef Py_ssize_t row, first
        while self.slots[place]:
            row = self.slots[place] - 1
            first = self.key_bounds[row]
            if self.key_bounds[row + 1] - first == length:
                if not memcmp(&self.key_bytes[first], text, length):
                    return row
            place = (place + 1) & self.mask
        return -1


@cython.final
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
    cdef _Head null_head
    cdef const uint8_t[::1] null_bytes
    cdef const int64_t[:, ::1] null_texts
    cdef const uint8_t[::1] word_bytes
    cdef const int64_t[::1] word_bounds
    cdef const int64_t[::1] words_of
    cdef const int64_t[::1] longest_null
    cdef const uint8_t[::1] symbol_bytes
    cdef const int64_t[::1] symbol_bounds
    cdef SkuTable sku_map
    cdef bint has_map
    cdef uint8_t is_space[256]
    cdef uint8_t is_trimmed[256]  # whether a white space character may have the byte

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
        self.null_head = _head_of(null_numbers)
        lengths = np.array([len(text) for text in null_texts], np.int64)
        ends = np.cumsum(lengths)
        sources = np.full(text_count, _DEFAULT)
        self.null_texts = np.stack([ends - lengths, ends, sources], axis=1)
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
            self.is_space[byte] = byte in b"\t\n\v\f\r\x1c\x1d\x1e\x1f "
            self.is_trimmed[byte] = self.is_space[byte] or byte >= 0x80
        self.check_columns()

    cdef int check_columns(self) except -1:
        """Check once the indices that each record is read with."""
        cdef Py_ssize_t column
        if self.columns.shape[1] != 4 or self.text_count < 2:
            raise IndexError("a column has four numbers, and a row has its SKUs")
        for column in range(self.columns.shape[0]):
            kind = self.columns[column, 0]
            cell = self.columns[column, 1]
            place = self.columns[column, 2]
            places = _AMOUNTS if kind == _MONEY else self.text_count
            if not (0 <= cell < self.width and 0 <= place < places):
                raise IndexError("a column has no such cell or place")
        return 0

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
        # The cells of a record; the last one is any cell that has no header.
        cdef int64_t[:, ::1] cell_room = np.zeros((self.width + 1, 3), np.int64)
        cdef int64_t[:, ::1] text_room = np.zeros((self.text_count, 3), np.int64)
        cdef _Cell *cells = <_Cell *>&cell_room[0, 0]
        cdef _Text *texts = <_Text *>&text_room[0, 0]
        cdef Py_ssize_t size = self.text.shape[0]
        cdef Py_ssize_t position = start, record_start, record_lines, count
        cdef Py_ssize_t records = 0, row_count = 0, used = 0, doubt_count = 0
        cdef Py_ssize_t lines = 0, ragged = 0, length
        cdef Py_ssize_t max_rows = min(offsets.shape[0], numbers.shape[0])
        cdef Py_ssize_t max_doubts = doubts.shape[0]
        cdef bint is_readable = True
        cdef bint is_odd
        cdef bint is_plain
        cdef _Head head
        cdef _Block block
        cdef _Extremes of_rows
        with nogil:
            self.read_block(start, &block)
            _begin_extremes(&of_rows)
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
                        position, cells + min(count, self.width), &block, &is_odd,
                        &lines,
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
                is_plain = False
                if count == self.width and not is_odd:
                    is_plain = self.read(&head, cells, texts)
                    if is_plain and doubtful_first > 0:
                        doubtful_first -= 1
                        is_plain = False
                if is_plain:
                    length = self.pack(&head, texts, rows, used)
                    if length == -1:  # no room: read the record again
                        position = record_start
                        lines = record_lines
                        break
                    offsets[row_count] = used
                    numbers[row_count] = records + 1
                    row_count += 1
                    used = length
                    _widen(&of_rows, &head)
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
            _add_extremes(extremes, &of_rows)
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

    cdef inline int read_block(
        self, Py_ssize_t position, _Block *block
    ) except -1 nogil:
        """Find the stops of the next bytes; the end of the text is one."""
        cdef uint8_t rest[_BLOCK_BYTES]
        cdef uint8_t quote = _QUOTE if self.quoting else self.delimiter
        cdef Py_ssize_t left = self.text.shape[0] - position
        block.start = position
        if left >= _BLOCK_BYTES:
            block.stops = _stops(&self.text[position], self.delimiter, quote)
            return 0
        memset(rest, 0, _BLOCK_BYTES)
        if left:
            memcpy(rest, &self.text[position], left)
        block.stops = _stops(rest, self.delimiter, quote) | <uint64_t>1 << left
        return 0

    cdef inline Py_ssize_t stop(
        self, Py_ssize_t position, _Block *block
    ) except -1 nogil:
        """Return the first position, from one on, of a stop.

        A stop is a delimiter, a line end, a quote if it may open a cell, or the end.
        """
        cdef Py_ssize_t passed = position - block.start
        cdef uint64_t stops
        if passed < _BLOCK_BYTES:
            stops = block.stops >> passed
            if stops:
                return position + relay_lowest_bit(stops)
            position = block.start + _BLOCK_BYTES
        return self.stop_in_blocks(position, block)

    cdef Py_ssize_t stop_in_blocks(
        self, Py_ssize_t position, _Block *block
    ) except -1 nogil:
        """Return the first position of a stop in the blocks from a position on."""
        while True:
            self.read_block(position, block)
            if block.stops:
                return position + relay_lowest_bit(block.stops)
            position += _BLOCK_BYTES

    cdef inline Py_ssize_t cell_end(
        self, Py_ssize_t position, _Block *block
    ) except -1 nogil:
        """Return the end of a cell that no quote has opened."""
        cdef Py_ssize_t size = self.text.shape[0]
        position = self.stop(position, block)
        while position < size and self.text[position] == _QUOTE:
            position = self.stop(position + 1, block)
        return position

    cdef inline Py_ssize_t cell(
        self,
        Py_ssize_t position,
        _Cell *cell,
        _Block *block,
        bint *is_odd,
        Py_ssize_t *lines,
    ) except? -3 nogil:
        """Find a cell; return the position behind it, or -1 if its quote is open."""
        cdef Py_ssize_t closing = -1
        cell.start = position
        cell.is_doubled = False
        if (
            self.quoting
            and position < self.text.shape[0]
            and self.text[position] == _QUOTE
        ):
            cell.start = position + 1
            closing = self.closing_quote(cell, block, lines)
            if closing < 0:
                return -1
            position = closing + 1
        cell.end = self.cell_end(position, block)
        if closing < 0:
            return cell.end
        if cell.end > position:
            is_odd[0] = True  # text follows the closing quote
        position = cell.end
        cell.end = closing
        return position

    cdef Py_ssize_t closing_quote(
        self, _Cell *cell, _Block *block, Py_ssize_t *lines
    ) except? -3 nogil:
        """Return where the quote is that ends a cell, or -1 if there is none."""
        cdef Py_ssize_t size = self.text.shape[0]
        cdef Py_ssize_t position = cell.start
        cdef uint8_t byte
        while True:
            position = self.stop(position, block)
            if position >= size:
                return -1
            byte = self.text[position]
            if byte == _QUOTE:
                if position + 1 == size or self.text[position + 1] != _QUOTE:
                    return position
                cell.is_doubled = True
                position += 2
            elif byte == self.delimiter:
                position += 1
            else:
                position = self.after_line_end(position)
                lines[0] += 1

    cdef bint read(
        self, _Head *head, const _Cell *cells, _Text *texts
    ) except -1 nogil:
        """Read the cells of a record; return whether the record is plain."""
        cdef const _Column *columns = <const _Column *>&self.columns[0, 0]
        cdef const _Column *column
        cdef Py_ssize_t index, start, end
        cdef const _Cell *cell
        cdef _Text *text
        cdef int64_t value
        head[0] = self.null_head
        memcpy(texts, &self.null_texts[0, 0], self.text_count * sizeof(_Text))
        for index in range(self.columns.shape[0]):
            column = columns + index
            cell = cells + column.cell
            start = cell.start
            end = cell.end
            if start == end:
                continue
            if (
                self.is_trimmed[self.text[start]]
                or self.is_trimmed[self.text[end - 1]]
            ):
                start = self.trimmed_start(start, end)
                end = self.trimmed_end(start, end)
            if start < end and self.words_of[index + 1] > self.words_of[index]:
                value = self.null_word(index, start, end)
                if value == _DOUBT:
                    return False
                if value:
                    end = start
            if start == end:
                continue
            if column.kind == _TEXT:
                text = texts + column.place
                text.start = start
                text.end = end
                text.source = _DOUBLED if cell.is_doubled else _PLAIN
                continue
            if cell.is_doubled:
                return False
            if column.kind == _MONEY:
                value = self.amount(start, end)
                if value < 0 or (value == 0 and column.zero_is_doubtful):
                    return False
                head.amounts[column.place] = value
            elif column.kind == _INSTANT:
                head.instant = self.instant(start, end)
                if head.instant == _NO_INSTANT:
                    return False
            elif column.kind == _CONDITION:
                head.condition = self.condition(start, end)
                if head.condition < 0:
                    return False
            elif column.kind == _GTIN:
                start = self.gtin_start(start, end)
                if start < 0:
                    return False
                text = texts + column.place
                text.start = start
                text.end = end
                text.source = _PLAIN
            else:
                value = self.number(start, end, 0)
                if value < 0:
                    return False
                if column.kind == _QUANTITY:
                    head.quantity = value
                else:
                    head.lead_time = value
        if texts[0].start == texts[0].end or head.quantity == _NULL:
            return False
        return not self.has_map or self.map_sku(texts)

    cdef bint map_sku(self, _Text *texts) except -1 nogil:
        """Put the tenant's SKU in place of the vendor's; return whether it is plain."""
        cdef Py_ssize_t row
        # Neither a default nor a cell with quotes is looked up here.
        if texts[0].source != _PLAIN:
            return False
        if texts[0].end > self.text.shape[0]:
            raise IndexError("a cell is not in the text")
        row = self.sku_map.find(
            &self.text[texts[0].start], texts[0].end - texts[0].start
        )
        if row >= 0:
            if texts[1].start == texts[1].end:
                texts[1] = texts[0]
            texts[0].start = self.sku_map.value_bounds[row]
            texts[0].end = self.sku_map.value_bounds[row + 1]
            texts[0].source = _MAPPED
        return True

    cdef Py_ssize_t pack(
        self,
        const _Head *head,
        const _Text *texts,
        uint8_t[::1] rows,
        Py_ssize_t used,
    ) except? -3 nogil:
        """Write a row; return the number of bytes that are used then, or -1."""
        cdef Py_ssize_t room = _head_room(self.text_count)
        cdef Py_ssize_t place, length, need = 2 * room
        cdef const uint8_t *text
        cdef uint8_t *at
        cdef uint8_t *lengths
        for place in range(self.text_count):
            need += texts[place].end - texts[place].start
        # A reader of the last row may look at as many bytes as a head can have, and
        # more bytes than a short text has are copied.
        if need > rows.shape[0] - used:
            return -1
        lengths = _write_head(&rows[used], head)
        at = lengths + self.text_count
        # Lengths that need more than a byte come before the texts.
        for place in range(self.text_count):
            length = texts[place].end - texts[place].start
            if texts[place].source == _DOUBLED:
                length = self.unquoted_length(texts[place].start, texts[place].end)
            at = _write_length(lengths + place, at, length)
        for place in range(self.text_count):
            at += self.copy_text(at, texts + place)
        return at - &rows[0]

    cdef inline Py_ssize_t copy_text(
        self, uint8_t *out, const _Text *text
    ) except -1 nogil:
        """Write a text, for which there is room; return its length."""
        cdef Py_ssize_t index = text.start
        cdef Py_ssize_t length = text.end - index
        if not length:
            return 0
        if text.source == _PLAIN:
            if text.end > self.text.shape[0]:
                raise IndexError("a cell is not in the text")
            if length <= _COPIED_BYTES <= self.text.shape[0] - index:
                memcpy(out, &self.text[index], _COPIED_BYTES)
            else:
                memcpy(out, &self.text[index], length)
        elif text.source == _DEFAULT:
            memcpy(out, &self.null_bytes[index], length)
        elif text.source == _MAPPED:
            memcpy(out, &self.sku_map.value_bytes[index], length)
        else:
            length = 0
            while index < text.end:
                out[length] = self.text[index]
                length += 1
                # The second of two quotes is left out.
                index += 2 if self.text[index] == _QUOTE else 1
        return length

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
        cdef int64_t value
        if 0 < end - start <= _WORD_BYTES <= end:
            # The word ends with a byte of the text, and begins within the text.
            value = _short_number(
                &self.text[end - 1] + 1, end - start, places, self.decimal
            )
            if value >= 0:
                return value
        return self.long_number(start, end, places)

    cdef int64_t long_number(
        self, Py_ssize_t start, Py_ssize_t end, int places
    ) except? -3 nogil:
        """Read a number of any form as `number` does, byte by byte."""
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
        cdef int64_t microseconds = 0, day_number, seconds
        cdef int places = 0, offset_hours, offset_minutes
        cdef Py_ssize_t at = start + 10
        cdef uint64_t clock
        cdef uint8_t sign
        if end - start < 10:
            return _NO_INSTANT
        if start < 0 or end > self.text.shape[0]:
            raise IndexError("a cell is not in the text")
        day_number = _day_of_date(&self.text[start])
        if day_number == _NO_INSTANT:
            return _NO_INSTANT
        if at == end:
            return self.of_local(day_number, day_number * _DAY * 1000000)
        if end - at < 6 or (self.text[at] != 32 and self.text[at] != 84):
            return _NO_INSTANT
        if at + 6 < end and self.text[at + 6] == 58:
            if end - at < 9:
                return _NO_INSTANT
            clock = _word(&self.text[at + 1])
            at += 9
        else:  # ``hh:mm``, behind the last bytes of the date
            clock = _word(&self.text[at - 2]) >> 24 | <uint64_t>0x30303A << 40
            at += 6
        seconds = _seconds_of_clock(clock)
        if seconds < 0:
            return _NO_INSTANT
        seconds += day_number * _DAY
        if at == start + 19 and at < end and self.text[at] == 46:
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

    cdef inline int64_t of_local(
        self, int64_t day, int64_t microseconds
    ) except? -3 nogil:
        """Return a local time in UTC, or `_NO_INSTANT` if the offset changes that day."""
        cdef Py_ssize_t index = day - _days(_FIRST_YEAR, 1, 1)
        cdef int32_t seconds = self.day_offsets[index]
        if seconds == _UNKNOWN_OFFSET:
            seconds = self.offset_on(day)
            self.day_offsets[index] = seconds
        if seconds == _NO_OFFSET:
            return _NO_INSTANT
        return microseconds - seconds * <int64_t>1000000

    # A function of its own: one with Python code in it takes the interpreter's lock
    # even if that code is not reached.
    cdef int32_t offset_on(self, int64_t day) except? -1 with gil:
        """Return the offset of local times on a day, or `_NO_OFFSET`."""
        offset = self.offset_of_day(day)
        return _NO_OFFSET if offset is None else offset


cdef struct _Extremes:
    int64_t least[7]
    int64_t greatest[7]


cdef inline void _begin_extremes(_Extremes *extremes) noexcept nogil:
    cdef int index
    for index in range(7):
        extremes.least[index] = INT64_MAX
        extremes.greatest[index] = INT64_MIN


cdef inline void _widen_by(
    _Extremes *extremes, int index, int64_t value, bint is_null
) noexcept nogil:
    cdef int64_t least = INT64_MAX if is_null else value
    cdef int64_t greatest = INT64_MIN if is_null else value
    extremes.least[index] = min(extremes.least[index], least)
    extremes.greatest[index] = max(extremes.greatest[index], greatest)


cdef inline void _widen(_Extremes *extremes, const _Head *head) noexcept nogil:
    """Widen the extremes by a row; a null counts as no number."""
    cdef int index
    _widen_by(extremes, 0, head.quantity, False)
    _widen_by(extremes, 1, head.lead_time, head.lead_time == _NULL)
    for index in range(_AMOUNTS):
        _widen_by(
            extremes, 2 + index, head.amounts[index], head.amounts[index] == _NULL
        )
    _widen_by(extremes, 6, head.instant, False)


cdef int _add_extremes(
    int64_t[:, ::1] extremes, const _Extremes *of_rows
) except -1 nogil:
    cdef int index
    for index in range(7):
        extremes[index, 0] = min(extremes[index, 0], of_rows.least[index])
        extremes[index, 1] = max(extremes[index, 1], of_rows.greatest[index])
    return 0


cdef _Head _head_of(const int64_t[::1] numbers):
    """Return numbers in the order of `NUMBERS` as a head."""
    cdef _Head head
    cdef int index
    head.quantity = numbers[0]
    head.lead_time = numbers[1]
    for index in range(_AMOUNTS):
        head.amounts[index] = numbers[2 + index]
    head.instant = numbers[6]
    head.condition = numbers[7]
    return head


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


include "words.pxi"
include "rows.pxi"
include "columns.pxi"
include "groups.pxi"
