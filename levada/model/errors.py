"""The three families of errors, by whose fault it is. Everything Levada raises belongs to one of them.

The docstring of a class is its default message.
"""


class LevadaError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (type(self).__doc__ or "").strip().splitlines()[0])


class UserError(LevadaError):
    """The flow, the input or the request is wrong; it is shown as it is and never retried."""


class Transient(LevadaError):
    """Something outside is away for the moment; try again with back-off."""


class Defect(LevadaError):
    """Levada itself is wrong; stop loudly and leave the state untouched."""
