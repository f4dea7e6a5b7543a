"""certsync: keeps teacher licences in a school district's ERP true."""

__version__ = "0.1.0"
