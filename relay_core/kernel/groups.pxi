# The competition of offers: runs of sorted texts are merged, and the best row of each
# distinct text is chosen.

cdef uint64_t _NO_KEY = 0xFFFFFFFFFFFFFFFF  # no text of UTF-8 has such a byte

cdef struct _Run:
    Py_ssize_t row  # the first row that is not merged
    Py_ssize_t stop
    uint64_t key  # eight bytes of its text; `_NO_KEY` behind the last row
    const uint8_t *text
    Py_ssize_t length


def best_rows(
    const _Offset[::1] bounds,
    const uint8_t[::1] data,
    const int64_t[::1] run_bounds,
    list criteria,
    int64_t[::1] winners,
    int64_t[::1] text_counts,
):
    """Choose the best row of each distinct text; return the number of texts.

    Args:
        bounds: The offsets of the texts.
        data: The bytes of the texts.
        run_bounds: The first row of each run of sorted texts, and the row behind the
            last run.
        criteria: The numbers of rows by criterion, the first criterion first. The lowest
            number wins; of equal rows, the first one.
        winners: Gets the best row of each text, in the order of texts.
        text_counts: Gets the number of distinct texts of each run.
    """
    cdef Py_ssize_t run_count = run_bounds.shape[0] - 1
    cdef Py_ssize_t criteria_count = len(criteria)
    cdef uint8_t[::1] run_memory = np.zeros(run_count * sizeof(_Run) + 1, np.uint8)
    cdef uint64_t[::1] numbers_memory = np.zeros(criteria_count + 1, np.uint64)
    cdef _Run *runs = <_Run *>&run_memory[0]
    cdef const int64_t **numbers = <const int64_t **>&numbers_memory[0]
    cdef const int64_t[::1] values
    cdef Py_ssize_t index, first, best, prefix, count = 0
    cdef uint64_t least
    cdef const uint8_t *text
    cdef Py_ssize_t length
    cdef bint is_first
    if run_count < 1:
        return 0
    _check_runs(run_bounds, bounds.shape[0] - 1)
    if winners.shape[0] < run_bounds[run_count] or text_counts.shape[0] < run_count:
        raise IndexError("there is no room for the winners")
    for index in range(criteria_count):
        values = criteria[index]
        if values.shape[0] < run_bounds[run_count]:
            raise IndexError("a criterion has fewer rows")
        numbers[index] = &values[0] if values.shape[0] else NULL
    with nogil:
        prefix = _shared_prefix(bounds, data, run_bounds)
        for index in range(run_count):
            text_counts[index] = 0
            runs[index].row = run_bounds[index]
            runs[index].stop = run_bounds[index + 1]
            _read_text(&runs[index], bounds, data, prefix)
        while True:
            least = _NO_KEY
            for index in range(run_count):
                if runs[index].key < least:
                    least = runs[index].key
            if least == _NO_KEY:
                break
            first = -1
            for index in range(run_count):
                if runs[index].key == least and (
                    first < 0
                    or _order_of_ties(
                        runs[index].text,
                        runs[index].length,
                        runs[first].text,
                        runs[first].length,
                        prefix,
                    )
                    < 0
                ):
                    first = index
            text = runs[first].text
            length = runs[first].length
            best = -1
            for index in range(first, run_count):
                is_first = True
                while runs[index].key == least and not _order_of_ties(
                    runs[index].text, runs[index].length, text, length, prefix
                ):
                    if best < 0 or _is_better(
                        numbers, criteria_count, runs[index].row, best
                    ):
                        best = runs[index].row
                    text_counts[index] += is_first
                    is_first = False
                    runs[index].row += 1
                    _read_text(&runs[index], bounds, data, prefix)
            winners[count] = best
            count += 1
    return count


cdef int _check_runs(const int64_t[::1] run_bounds, Py_ssize_t row_count) except -1:
    cdef Py_ssize_t index
    if run_bounds[0] < 0 or run_bounds[run_bounds.shape[0] - 1] > row_count:
        raise IndexError("a run has more rows than there are")
    for index in range(run_bounds.shape[0] - 1):
        if run_bounds[index] > run_bounds[index + 1]:
            raise IndexError("a run ends before it starts")
    return 0


cdef Py_ssize_t _shared_prefix(
    const _Offset[::1] bounds,
    const uint8_t[::1] data,
    const int64_t[::1] run_bounds,
) except -1 nogil:
    """Return the number of bytes that all texts start with.

    They are those that the first and the last text of each run share.
    """
    cdef Py_ssize_t index, end, row, place, prefix = -1
    cdef int64_t start, length, first_start = 0
    for index in range(run_bounds.shape[0] - 1):
        if run_bounds[index] == run_bounds[index + 1]:
            continue
        for end in range(2):
            row = run_bounds[index + 1] - 1 if end else run_bounds[index]
            start = bounds[row]
            length = bounds[row + 1] - start
            if start < 0 or length < 0 or start + length > data.shape[0]:
                raise IndexError("a text is not in its buffer")
            if prefix < 0:
                first_start = start
                prefix = length
            place = 0
            while (
                place < prefix
                and place < length
                and data[first_start + place] == data[start + place]
            ):
                place += 1
            prefix = place
    return max(prefix, 0)


cdef inline int _read_text(
    _Run *run,
    const _Offset[::1] bounds,
    const uint8_t[::1] data,
    Py_ssize_t prefix,
) except -1 nogil:
    """Read the text of a run's first row that is not merged, and check its order."""
    cdef int64_t start, length
    cdef Py_ssize_t place
    cdef uint64_t key = 0
    if run.row >= run.stop:
        run.key = _NO_KEY
        return 0
    start = bounds[run.row]
    length = bounds[run.row + 1] - start
    if start < 0 or length < 0 or start + length > data.shape[0]:
        raise IndexError("a text is not in its buffer")
    if length >= prefix + 8:
        key = _big_endian(&data[start + prefix])
    else:
        for place in range(prefix, length):
            key |= <uint64_t>data[start + place] << (56 - 8 * (place - prefix))
    if key < run.key or length < prefix or key == _NO_KEY:
        raise ValueError("the texts are not in order")
    run.key = key
    run.text = &data[start] if length else NULL
    run.length = length
    return 0


cdef inline uint64_t _big_endian(const uint8_t *text) noexcept nogil:
    return (
        <uint64_t>text[0] << 56
        | <uint64_t>text[1] << 48
        | <uint64_t>text[2] << 40
        | <uint64_t>text[3] << 32
        | <uint64_t>text[4] << 24
        | <uint64_t>text[5] << 16
        | <uint64_t>text[6] << 8
        | <uint64_t>text[7]
    )


cdef inline int _order_of_ties(
    const uint8_t *text,
    Py_ssize_t length,
    const uint8_t *other_text,
    Py_ssize_t other_length,
    Py_ssize_t prefix,
) noexcept nogil:
    """Compare two texts that start with the same bytes and have the same key."""
    cdef Py_ssize_t compared = prefix + 8
    cdef Py_ssize_t shorter = min(length, other_length)
    cdef int order = 0
    if shorter > compared:
        order = memcmp(text + compared, other_text + compared, shorter - compared)
    if order:
        return order
    return (length > other_length) - (length < other_length)


cdef inline bint _is_better(
    const int64_t **numbers, Py_ssize_t count, Py_ssize_t row, Py_ssize_t other
) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(count):
        if numbers[index][row] != numbers[index][other]:
            return numbers[index][row] < numbers[index][other]
    return False
