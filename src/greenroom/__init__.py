"""Greenroom: a Lambda function waits here, and is tested, before it goes on stage."""
