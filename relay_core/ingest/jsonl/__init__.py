"""JSON Lines: an object a line; lines of one shape are read by columns, the others one by one."""
