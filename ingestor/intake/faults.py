"""What can go wrong while a database of others is read; every text is a sentence for people, without secrets."""


class SourceDown(Exception):
    """The database does not answer, or not in time; it is asked again later."""


class SourceChanged(Exception):
    """What is there does not fit what the file of the source says; trying again does not help."""


class SourceMisconfigured(Exception):
    """The file of the source cannot be used on this machine: a secret or a driver is missing."""
