"""What can go wrong between a query and its results, whatever protocol it came by."""

from model.errors import AahrError, InvalidInput


class InvalidField(InvalidInput):
    """A field of the request is missing, unknown, or has an unusable value."""

    code = "invalid_field"

    def __init__(self, message: str, field: str | None) -> None:
        super().__init__(message)
        self.field = field


class NotReadyError(AahrError):
    """The service cannot answer yet, or can no longer answer."""

    code = "not_ready"


class OverloadedError(AahrError):
    """More is waiting than the service can answer in a reasonable time; the client may try again later."""

    code = "overloaded"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
