"""The compiled kernel: text to packed rows, offers to winners, columns to lines."""
