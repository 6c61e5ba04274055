"""The source of the layer `aws_equipment`; a folder of data to the rest of Greenroom, which never imports it."""
