"""Notices on their way to people: what is sent now, what waits for the morning, and how it reads."""

from homeostat.notices.delivery import Delivery, Transport
from homeostat.notices.message import Message

__all__ = ["Delivery", "Message", "Transport"]
