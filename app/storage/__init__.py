"""Named queries, files and the SFTP client; nothing here commits."""
