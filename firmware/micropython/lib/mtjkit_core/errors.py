"""The one error tree of the project: whatever bad input does, it ends in one of these.

Messages are one line that says what is wrong and what to do about it. The command line prints
that line on stderr and exits with status 2.
"""


class MtjkitError(Exception):
    """Base of every error that mtjkit raises on purpose."""


class ConfigError(MtjkitError):
    """An option, a configuration or an array that cannot be used as given."""


class FormatError(MtjkitError):
    """A file whose bytes break the rules of its format."""


class ProtocolError(MtjkitError):
    """A message that the other side of the link should not have sent."""


class LinkError(MtjkitError):
    """The link to a device, or the device itself, is gone or does not answer."""
