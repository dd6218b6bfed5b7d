"""The commands over files of this machine: `relay new` and `relay local`."""
