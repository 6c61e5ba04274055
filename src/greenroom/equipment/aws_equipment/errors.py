"""What the equipment raises when it is used wrongly."""


class EquipmentError(RuntimeError):
    """The event, the environment or the algorithm's answer is not what the equipment needs; the message says what."""
