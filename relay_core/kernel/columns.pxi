# Texts taken from columns, and columns written as the lines of a CSV file.
#
# The offsets of a column's texts are those of Arrow: one more than there are texts. Each
# read and each write is checked against the buffers, once a text or once a line.

ctypedef fused _Offset:
    int32_t
    int64_t

cdef enum:
    _TEXTS_AHEAD = 16
    _SHORT = 16
    _FIELD_ROOM = 24

# The kinds of fields in a line.
TEXT_FIELD = 0
WHOLE_FIELD = 1
CENTS_FIELD = 2
INSTANT_FIELD = 3
cdef enum:
    _TEXT_FIELD = 0
    _WHOLE_FIELD = 1
    _CENTS_FIELD = 2
    _INSTANT_FIELD = 3

cdef struct _Field:
    int kind
    const int64_t *numbers
    const uint8_t *nulls
    const int64_t *bounds
    const uint8_t *data
    Py_ssize_t size


cdef inline Py_ssize_t _row_at(
    const int64_t[::1] rows, Py_ssize_t index, Py_ssize_t count
) except -1 nogil:
    cdef Py_ssize_t row = rows[index]
    if row < 0 or row >= count:
        raise IndexError("no such row")
    return row


def take_bounds(
    const _Offset[::1] bounds, const int64_t[::1] rows, int32_t[::1] taken
):
    """Write the offsets of texts that are put one after another; return their bytes.

    Args:
        bounds: The offsets of a column's texts.
        rows: The rows to take.
        taken: Gets the offsets, which are right if there are less than 2 GiB of bytes.
    """
    cdef Py_ssize_t index, row
    cdef int64_t used = 0
    if bounds.shape[0] < 1 or taken.shape[0] != rows.shape[0] + 1:
        raise IndexError("the offsets are not those of the rows")
    taken[0] = 0
    with nogil:
        for index in range(rows.shape[0]):
            if index + _TEXTS_AHEAD < rows.shape[0]:
                row = _row_at(rows, index + _TEXTS_AHEAD, bounds.shape[0] - 1)
                relay_prefetch(&bounds[row])
            row = _row_at(rows, index, bounds.shape[0] - 1)
            used += bounds[row + 1] - bounds[row]
            taken[index + 1] = <int32_t>used
    return used


def take_texts(
    const _Offset[::1] bounds,
    const uint8_t[::1] data,
    const int64_t[::1] rows,
    const int32_t[::1] taken,
    uint8_t[::1] out,
):
    """Write texts of a column one after another.

    Args:
        bounds: The offsets of the column's texts.
        data: The bytes of the texts.
        rows: The rows to take.
        taken: The offsets that `take_bounds` has written.
        out: Gets the bytes. Bytes behind those of the last text may change.
    """
    cdef Py_ssize_t index, row
    cdef int64_t start, length, used
    if bounds.shape[0] < 1 or taken.shape[0] != rows.shape[0] + 1:
        raise IndexError("the offsets are not those of the rows")
    with nogil:
        for index in range(rows.shape[0]):
            if index + _TEXTS_AHEAD < rows.shape[0]:
                row = _row_at(rows, index + _TEXTS_AHEAD, bounds.shape[0] - 1)
                start = bounds[row]
                if 0 <= start < data.shape[0]:
                    relay_prefetch(&data[start])
            row = _row_at(rows, index, bounds.shape[0] - 1)
            start = bounds[row]
            length = bounds[row + 1] - start
            used = taken[index]
            if start < 0 or length < 0 or start + length > data.shape[0]:
                raise IndexError("a text is not in its buffer")
            if used < 0 or used + length > out.shape[0]:
                raise IndexError("there is no room for a text")
            if not length:
                continue
            # A copy of a constant number of bytes is no call.
            if (
                length <= 2 * _SHORT
                and start + 2 * _SHORT <= data.shape[0]
                and used + 2 * _SHORT <= out.shape[0]
            ):
                memcpy(&out[used], &data[start], _SHORT)
                if length > _SHORT:
                    memcpy(&out[used + _SHORT], &data[start + _SHORT], _SHORT)
            else:
                memcpy(&out[used], &data[start], length)


def write_fields(
    list columns,
    Py_ssize_t first,
    Py_ssize_t stop,
    uint8_t delimiter,
    uint8_t[::1] out,
):
    """Write rows of columns as lines of a CSV file, as many as there is room for.

    A text is quoted if it has the delimiter, a quote, CR, or LF. A null is an empty
    field, and a line of one empty field is ``""``.

    Args:
        columns: The columns. One of texts is `TEXT_FIELD`, the offsets of the texts, and
            their bytes. Another one is its kind, its numbers, and the flags of its nulls
            or None.
        first: The first row.
        stop: The row behind the last one.
        delimiter: The byte between two fields.
        out: Gets the lines.

    Returns:
        The row behind the last one that is written, and the number of bytes.
    """
    cdef Py_ssize_t count = len(columns)
    cdef uint8_t[::1] memory = np.zeros(count * sizeof(_Field) + 1, np.uint8)
    cdef _Field *fields = <_Field *>&memory[0]
    cdef _Field *field
    cdef Py_ssize_t index, row = first
    cdef uint8_t *at
    cdef uint8_t *line
    cdef uint8_t *end
    if first < 0 or not out.shape[0]:
        return first, 0
    for index in range(count):
        _set_field(fields + index, columns[index], stop)
    at = &out[0]
    end = at + out.shape[0]
    with nogil:
        while row < stop and _line_room(fields, count, row) <= end - at:
            line = at
            for index in range(count):
                field = fields + index
                if field.kind == _TEXT_FIELD:
                    at = _quoted(
                        at,
                        field.data + field.bounds[row],
                        field.bounds[row + 1] - field.bounds[row],
                        delimiter,
                    )
                elif field.nulls == NULL or not field.nulls[row]:
                    if field.kind == _WHOLE_FIELD:
                        at = _signed(at, field.numbers[row])
                    elif field.kind == _CENTS_FIELD:
                        at = _cents(at, field.numbers[row])
                    else:
                        at = _timestamp(at, field.numbers[row])
                at[0] = delimiter
                at += 1
            if at - line == 1:
                line[0] = _QUOTE
                line[1] = _QUOTE
                at = line + 3
            line = at - 1
            line[0] = _LF
            row += 1
    return row, at - &out[0]


cdef int _set_field(_Field *field, tuple column, Py_ssize_t stop) except -1:
    """Set the buffers of a column, which must stay in memory, and check their sizes."""
    cdef const int64_t[::1] numbers
    cdef const uint8_t[::1] octets
    field.kind, values, other = column
    numbers = values
    if numbers.shape[0] < stop + (field.kind == _TEXT_FIELD):
        raise IndexError("a column has fewer rows")
    if field.kind == _TEXT_FIELD:
        field.bounds = &numbers[0]
    elif stop:
        field.numbers = &numbers[0]
    if other is not None:
        octets = other
        field.size = octets.shape[0]
        if field.kind != _TEXT_FIELD and field.size < stop:
            raise IndexError("a column has fewer rows")
        if field.size and field.kind == _TEXT_FIELD:
            field.data = &octets[0]
        elif field.size:
            field.nulls = &octets[0]
    return 0


cdef inline Py_ssize_t _line_room(
    const _Field *fields, Py_ssize_t count, Py_ssize_t row
) except -1 nogil:
    """Return the most bytes of a line, after a check of its texts."""
    cdef Py_ssize_t index, room = 3
    cdef int64_t start, length
    for index in range(count):
        room += _FIELD_ROOM
        if fields[index].kind == _TEXT_FIELD:
            start = fields[index].bounds[row]
            length = fields[index].bounds[row + 1] - start
            if start < 0 or length < 0 or start + length > fields[index].size:
                raise IndexError("a text is not in its buffer")
            room += 2 * length
    return room


cdef inline uint8_t *_signed(uint8_t *at, int64_t value) noexcept nogil:
    if value < 0:
        at[0] = 45
        return _whole(at + 1, -<uint64_t>value)
    return _whole(at, value)


cdef inline uint8_t *_cents(uint8_t *at, int64_t cents) noexcept nogil:
    cdef uint64_t amount = cents
    if cents < 0:
        at[0] = 45
        at += 1
        amount = -amount
    at = _whole(at, amount / 100)
    at[0] = 46
    return _two(at + 1, amount % 100)
