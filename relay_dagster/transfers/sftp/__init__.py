"""The door of SFTP: files of folders, uploads, and the protocol below them."""
