"""What servers of the AT Protocol share."""
