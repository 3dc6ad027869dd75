"""The refusals of announcements."""

from shared.core.errors import Conflict, NotFound


class NoSuchAnnouncement(NotFound):
    """There is no such announcement."""

    def __init__(self) -> None:
        super().__init__("This announcement does not exist. It may have been deleted already.")


class TooManyAnnouncements(Conflict):
    """There are as many announcements as members are shown."""

    code = "too_many_announcements"

    def __init__(self, most: int) -> None:
        super().__init__(f"There are {most} announcements already. Delete one first.")
