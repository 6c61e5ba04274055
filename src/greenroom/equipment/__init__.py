"""The source of the layer `aws_equipment`: a folder of data for the rest of Greenroom, which never imports it."""
