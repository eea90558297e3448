"""What goes wrong with a stored file, by the user's doing."""

from levada.model.errors import UserError


class FileMissing(UserError):
    """There is no such file in the internal storage."""


class BadPath(UserError):
    """The URI does not name something inside the internal storage."""


class TooLarge(UserError):
    """The file is larger than may be read at once."""


class StorageUnusable(UserError):
    """The internal storage does not let Levada in, or is not there."""
