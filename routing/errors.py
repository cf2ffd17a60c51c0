"""The error of a refused change, with the stable reason that the API reports."""


class RoutingError(Exception):
    """A change that is refused.

    Attributes:
        reason: UPPER_SNAKE and stable, such as NUMBER_ALREADY_EXISTS.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
