"""What travels between the platform and algorithms: the envelope of a message, and where its documents lie in buckets.

Standard library only: the layer `aws_equipment` has the module `envelope` too, through a link in its source folder.
"""
