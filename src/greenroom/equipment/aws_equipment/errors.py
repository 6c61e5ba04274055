"""What the equipment raises when it is used in another way than it is meant."""


class EquipmentError(RuntimeError):
    """The event, the environment or the algorithm's answer is not what the equipment needs; the message says what."""
