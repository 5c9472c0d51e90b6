"""What goes wrong between the members of a group."""


class DistError(RuntimeError):
    """Something is wrong between the members of a group."""


class DistStoreError(DistError):
    """A key did not come in time."""


class DistNetworkError(DistError):
    """A server is not there, or a connection broke."""


class DistBackendError(DistError):
    """An operation of a group failed: a member ended, took too long, or called another operation."""


class QueueEmptyError(DistStoreError):
    """There is nothing in a queue."""
