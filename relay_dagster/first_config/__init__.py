"""A first config from vendors' files, for `relay new`: no server and no AWS are needed."""
