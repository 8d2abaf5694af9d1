"""What the service cannot start or go on with.

WebError
    ConfigError         cloud.toml, or a file that it names
    UsageError          an argument of a command that is none
    ServiceError        a running service failed for good, or could not be reached
        ServiceRefused  it answered no
"""


class WebError(Exception):
    """Base of this package's errors."""


class ConfigError(WebError):
    """cloud.toml, or a file that it names, is not what it must be; the message names the key."""


class UsageError(WebError):
    """An argument of a command that is none."""


class ServiceError(WebError):
    """The service failed, or did not answer as one. `status`: of its HTTP answer, when there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ServiceRefused(ServiceError):
    """The service said no (4xx): trying again changes nothing."""
