"""What can go wrong, as the person at the keyboard should read it."""


class DevclusterError(Exception):
    """The work could not be done; the message says why and where to look (exit code 1)."""

    exit_code = 1


class UsageError(DevclusterError):
    """The request itself makes no sense, for example an unknown name (exit code 2)."""

    exit_code = 2


class ComponentError(DevclusterError):
    """One component of a plane ended or never became ready."""

    def __init__(self, message: str, *, component: str) -> None:
        super().__init__(message)
        self.component = component
