"""A demonstration: a made-up Vermont, a state SFTP server and the whole service, in one command."""
