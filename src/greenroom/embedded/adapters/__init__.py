"""What `lambda_api` needs of the rest of AWS, implemented over ministack."""
