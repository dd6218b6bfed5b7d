# The competition of offers, one criterion after another.


def keep_lowest(
    int64_t[::1] rows,
    int64_t[::1] bounds,
    int64_t[::1] groups,
    const int64_t[::1] numbers,
    int64_t[::1] winners,
):
    """Keep the rows of each group with the lowest number; return the number of groups.

    Groups with a single row left are removed, and the others move to the front.

    Args:
        rows: The rows of all groups, one group after another.
        bounds: The offsets of the groups in ``rows``, one more than there are groups.
        groups: The index of each group in ``winners``.
        numbers: The number of each row that there is.
        winners: Gets the first row that each group keeps.
    """
    cdef Py_ssize_t group, index, first, last, begin
    cdef Py_ssize_t row_count = 0, group_count = 0
    cdef int64_t lowest, number
    with nogil:
        for group in range(groups.shape[0]):
            first = bounds[group]
            last = bounds[group + 1]
            lowest = numbers[rows[first]]
            for index in range(first + 1, last):
                number = numbers[rows[index]]
                if number < lowest:
                    lowest = number
            begin = row_count
            for index in range(first, last):
                if numbers[rows[index]] == lowest:
                    rows[row_count] = rows[index]
                    row_count += 1
            winners[groups[group]] = rows[begin]
            if row_count - begin == 1:
                row_count = begin
                continue
            groups[group_count] = groups[group]
            bounds[group_count] = begin
            group_count += 1
        bounds[group_count] = row_count
    return group_count
